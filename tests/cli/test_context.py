"""Which configuration is meant, and what every command has: help, an example, errors without a traceback."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import enforcer
from enforcer.cli import main
from enforcer.cli.context import compiled, find_config, lists_of, load_config, look_into, make_demo, policy_of
from enforcer.errors import EnforcerError, Mistake, Mistakes, Unavailable
from enforcer.hub.revision import revision
from enforcer.policy.compiled import PolicySettings
from enforcer.processes.policy import settings_of
from tests.cli.site import CONFIG, Run, write_config
from tests.records import NOON_MS, moment

TODAY = moment(NOON_MS).date()


def commands(command: click.Command = main, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that there is, by the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, *path, name)


ALL = dict(commands())
LEAVES = {path: command for path, command in ALL.items() if not isinstance(command, click.Group)}


def name(path: object) -> str:
    return " ".join(map(str, path)) if isinstance(path, tuple) else ""


@pytest.mark.parametrize("path", ALL, ids=name)
def test_every_command_explains_itself(run: Run, path: tuple[str, ...]) -> None:
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert re.search(r"[Ee]xample: enforcer ", result.stdout)


@pytest.mark.parametrize("path", ALL, ids=name)
def test_every_option_of_every_command_is_in_its_help_and_says_what_it_does(run: Run, path: tuple[str, ...]) -> None:
    text = run(*path, "--help").stdout
    for parameter in ALL[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name(path)} {parameter.opts}"
            assert parameter.help.endswith(".")
            assert all(option in text for option in parameter.opts)
        else:
            assert parameter.make_metavar(click.Context(ALL[path])) in text


@pytest.mark.parametrize("path", LEAVES, ids=name)
def test_every_command_but_those_that_need_none_takes_a_configuration(path: tuple[str, ...]) -> None:
    takes = any("--config" in parameter.opts for parameter in LEAVES[path].params)
    assert takes is (path not in {("version",), ("config", "schema"), ("lists", "sign")})


@pytest.mark.parametrize("path", [path for path in ALL if len(path) == 1], ids=name)
def test_the_list_of_commands_says_of_each_what_there_is_to_it(run: Run, path: tuple[str]) -> None:
    assert re.search(rf"^  {path[0]} +[A-Z].*\.$", run("--help").stdout, re.MULTILINE)


def test_help_is_there_without_loading_what_commands_need() -> None:
    code = (
        "import sys; from enforcer.cli import main; main(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for heavy in ("pydantic", "rich", "asyncio", "uvicorn", "mitmproxy", "yaml"):
        assert f"'{heavy}'" not in result.stdout


def test_the_version_is_printed(run: Run) -> None:
    assert run("version").stdout == f"{enforcer.__version__}\n"
    assert json.loads(run("version", "--json").stdout) == {"version": enforcer.__version__, "revision": revision()}


def test_a_command_that_there_is_not_is_wrong_use(run: Run) -> None:
    assert run("attemps").exit_code == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Mistakes([Mistake("a.yaml", 3, "wrong; right")]), 2),
        (Unavailable("not there"), 1),
        (EnforcerError("no"), 1),
    ],
)
def test_an_error_is_its_text_and_an_exit_status(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: EnforcerError, status: int
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("enforcer.cli.config.load_config", fail)
    result = run("config", "show")
    assert (result.stdout, result.stderr, result.exit_code) == ("", f"{error}\n", status)


def test_what_may_not_be_read_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise PermissionError(13, "Permission denied", "data/log")

    monkeypatch.setattr("enforcer.cli.config.load_config", fail)
    result = run("config", "show")
    assert result.stderr == "data/log: Permission denied; ask as the user that Enforcer runs as\n"
    assert result.exit_code == 1


def test_the_text_of_an_error_is_harmless_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise Mistakes([Mistake("a.yaml", 3, '"\x1b[2J" is wrong'), Mistake("a.yaml", 4, "so is this")])

    monkeypatch.setattr("enforcer.cli.config.load_config", fail)
    assert run("config", "show").stderr == 'a.yaml:3: "\\u001b[2J" is wrong\na.yaml:4: so is this\n'


def test_an_interrupted_command_says_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("enforcer.cli.config.load_config", interrupt)
    result = run("config", "show")
    assert (result.output, result.exit_code) == ("", 130)


@pytest.mark.parametrize("arguments", [("config", "schema"), ("lists", "stats"), ("check", "-")])
def test_a_reader_that_goes_away_is_no_error(site: Path, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [sys.executable, "-m", "enforcer", *arguments],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(Path(enforcer.__file__).parent.parent)},
        input=b"chat.test\n" * 10,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert result.stderr == b""


def test_the_named_configuration_comes_first_then_the_environment_then_here_then_the_systems(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_config(None) is None
    (tmp_path / "system.yaml").touch()
    assert find_config(None) == tmp_path / "system.yaml"
    (tmp_path / "enforcer.yaml").touch()
    assert find_config(None) == Path("enforcer.yaml")
    monkeypatch.setenv("ENFORCER_CONFIG", "environment.yaml")
    assert run("config", "show").stderr.startswith("environment.yaml: cannot be read")
    assert run("config", "show", "--config", "named.yaml").stderr.startswith("named.yaml: cannot be read")


def test_no_configuration_at_all_is_told(run: Run, tmp_path: Path) -> None:
    result = run("config", "show")
    expected = f"enforcer.yaml: not here, and neither is {tmp_path}/system.yaml; name one with --config\n"
    assert (result.stderr, result.exit_code) == (expected, 2)


def test_a_configuration_that_cannot_be_read_is_a_wrong_one(run: Run) -> None:
    result = run("config", "show", "--config", "named.yaml")
    assert result.stderr.startswith("named.yaml: cannot be read (No such file or directory); name another file")
    assert result.exit_code == 2


def test_whose_data_is_meant_without_a_configuration_the_demos_once_it_was_started(site: Path) -> None:
    (site / "enforcer.yaml").rename(site / "there.yaml")
    with pytest.raises(Mistakes):
        look_into(None)
    (site / "there.yaml").rename(site / "demo.yaml")
    assert look_into(None).data_dir == site / "data"
    with pytest.raises(Mistakes):
        load_config(None)


def test_the_demo_is_copied_once_and_what_was_changed_in_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enforcer.cli.context.DEMO", tmp_path / "enforcer-demo" / "enforcer.yaml")
    path = make_demo()
    assert load_config(path)[1].data_dir.parent == path.parent
    (path.parent / "devices.csv").write_text("id,group,addresses\n")
    assert make_demo() == path
    assert (path.parent / "devices.csv").read_text() == "id,group,addresses\n"


def test_the_policy_of_a_configuration_has_its_lists_and_settings(site: Path) -> None:
    write_config(site, {**CONFIG, "resolver": {**CONFIG["resolver"], "answer": "nodata"}})  # type: ignore[dict-item]
    _, loaded = load_config(None)
    policy = policy_of(loaded, TODAY)
    assert policy.services == ("chat",)
    assert policy.settings == settings_of(loaded)
    assert (policy.settings.answer, policy.settings.ban) == ("nodata", "tbs-2023-10-30")
    assert policy.settings.upstreams == ("192.0.2.53",)


def test_without_a_configuration_the_policy_is_what_is_shipped() -> None:
    lists = lists_of(None, TODAY)
    assert [each.name for each in lists.own] == ["wechat", "kaspersky", "bypass"]
    assert compiled(lists.own, (), PolicySettings()).ruleset == policy_of(None, TODAY).ruleset

"""What commands share: which configuration is meant, and what it names."""

import shutil
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryDirectory

import click

from enforcer import __file__ as package
from enforcer.blocklists import Lists, read_signers, shipped, shipped_folder
from enforcer.blocklists import load as load_lists
from enforcer.config.load import load
from enforcer.config.model import Config
from enforcer.errors import Mistake, Mistakes, Unavailable
from enforcer.policy.compiled import PolicySettings, compile_policy
from enforcer.policy.judge import Policy
from enforcer.policy.lists import BlockList
from enforcer.policy.thirdparty import ThirdParty
from enforcer.processes.policy import settings_of, source_of

HERE = Path("enforcer.yaml")
SYSTEM = Path("/etc/enforcer/enforcer.yaml")
DEFAULT_LISTS = ("wechat.yaml", "kaspersky.yaml", "bypass.yaml")

DEMO = Path("enforcer-demo", "enforcer.yaml")
"""The configuration of `enforcer run --demo`, which makes it, for whoever wants to change it."""

_PACKAGE = Path(package).parent
_INSTALLED = _PACKAGE / "_data" / "demo"
_SHIPPED_DEMO = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "deploy" / "demo"


def config_option[F: Callable[..., object]](command: F) -> F:
    """Add `--config`."""
    option = click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="ENFORCER_CONFIG",
        metavar="PATH",
        help=f"The configuration; else $ENFORCER_CONFIG, else ./{HERE}, else {SYSTEM}.",
    )
    return option(command)


def json_option[F: Callable[..., object]](help: str) -> Callable[[F], F]:  # noqa: A002 (click's word)
    """Add `--json`, which is passed on as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def find_config(given: Path | None) -> Path | None:
    """The configuration that is meant, or None where there is none."""
    return given or next((path for path in (HERE, SYSTEM) if path.exists()), None)


def load_config(given: Path | None, *, files: bool = True) -> tuple[Path, Config]:
    """The configuration that is meant, loaded. Raises Mistakes, also when there is none or it cannot be read.

    files: False where the files that it names are not read, so that they need not be there.
    """
    path = find_config(given)
    if path is None:
        raise Mistakes([Mistake(str(HERE), None, f"not here, and neither is {SYSTEM}; name one with --config")])
    try:
        return path, load(path, shipped, files=files)
    except Unavailable as error:
        raise Mistakes([Mistake(str(path), None, str(error).removeprefix(f"{path}: "))]) from error


def look_into(given: Path | None) -> Config:
    """The configuration whose data or hub is meant: without any, the demo's, once that has been started."""
    path = find_config(given)
    if path is None and DEMO.exists():
        path = DEMO
    return load_config(path)[1]


def make_demo() -> Path:
    """The demo's configuration in the present folder, copied there when it is not; returns its path."""
    DEMO.parent.mkdir(exist_ok=True)
    for path in _SHIPPED_DEMO.iterdir():
        if not (DEMO.parent / path.name).exists():
            shutil.copyfile(path, DEMO.parent / path.name)
    secret = DEMO.parent / "radius.secret"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text(f"{token_urlsafe(24)}\n", encoding="ascii")
    return DEMO


def lists_of(config: Config | None, today: date) -> Lists:
    """The lists of a configuration, as they are now; of None, those that come with Enforcer. Raises Mistakes.

    The last good copies of third-party lists, which the hub keeps, are neither used nor made.
    """
    with TemporaryDirectory(prefix="enforcer-") as copies:
        if config is None:
            return load_lists((shipped_folder() / name for name in DEFAULT_LISTS), (), Path(copies), today)
        sources = tuple(map(source_of, config.policy.third_party))
        signers = read_signers(config.policy.require_signature)
        return load_lists(config.policy.lists, sources, Path(copies), today, signers)


def policy_of(config: Config | None, today: date) -> Policy:
    """The policy that these lists make, compiled in memory. Raises Mistakes."""
    lists = lists_of(config, today)
    return compiled(lists.own, lists.third_party, PolicySettings() if config is None else settings_of(config))


def compiled(own: Sequence[BlockList], third_party: Sequence[ThirdParty], settings: PolicySettings) -> Policy:
    """Lists to a policy that can be asked, in memory."""
    return Policy.load(compile_policy(own, third_party, settings))

"""The shape of the repository: imports point down the story, and the tests mirror the modules."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "enforcer"
TESTS = ROOT / "tests"

# Modules without a test file of their own, each with the reason.
UNTESTED: dict[str, str] = {
    "__main__": "one line; the end-to-end tests start it",
}
# Tests of no single module.
ACROSS = {"deploy", "e2e", "fuzz", "bench", "scenarios", "test_architecture"}


def modules() -> set[str]:
    """Every module but the packages' own `__init__`, as its path in the package without the suffix: `wire/dns`."""
    paths = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.stem != "__init__")
    return {path.with_suffix("").as_posix() for path in paths}


def mirrored() -> set[str]:
    """The module that each test file covers, by the file's own path: `wire/test_dns.py` covers `wire/dns`."""
    paths = (path.relative_to(TESTS).with_suffix("") for path in TESTS.rglob("test_*.py"))
    return {path.with_name(path.name.removeprefix("test_")).as_posix() for path in paths if path.parts[0] not in ACROSS}


def test_every_module_has_its_test_file() -> None:
    missing = modules() - mirrored() - set(UNTESTED)
    assert not missing, f"modules without a test file: {', '.join(sorted(missing))}"


def test_every_test_file_has_its_module() -> None:
    stray = mirrored() - modules()
    assert not stray, f"test files without a module: {', '.join(sorted(stray))}"


def test_only_modules_that_exist_are_excused() -> None:
    assert set(UNTESTED) <= modules()


def test_test_folders_are_no_packages() -> None:
    assert sorted(TESTS.rglob("__init__.py")) == []


def test_the_import_contracts_are_kept() -> None:
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout

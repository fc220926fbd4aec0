from pathlib import Path

import pytest

from enforcer.hub.revision import revision


def package(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_it_is_the_same_wherever_the_files_are(tmp_path: Path) -> None:
    one, other = (package(tmp_path / name, a="x", b="y") for name in ("one", "other"))
    (other / "notes.txt").write_text("no module")
    assert revision(one) == revision(other)
    assert revision() == revision()
    assert len(revision()) == 12


@pytest.mark.parametrize(
    "files", [{"a": "x"}, {"a": "xy", "b": ""}, {"a": "y", "b": "x"}, {"a": "x", "c": "y"}], ids=str
)
def test_any_other_name_or_content_is_another(tmp_path: Path, files: dict[str, str]) -> None:
    assert revision(package(tmp_path / "one", a="x", b="y")) != revision(package(tmp_path / "other", **files))

from pathlib import Path

from enforcer.folders import Folders
from enforcer.hub.lock import hub_lock
from tests.cli.site import Run


def test_the_index_is_made_again_from_the_log(run: Run, recorded: Folders) -> None:
    before = run("attempts", "list").stdout
    recorded.index_file.write_bytes(b"no database")
    assert run("attempts", "list").exit_code == 1
    result = run("attempts", "reindex")
    assert result.stdout == "The index is made again, up to line number 5\n"
    assert result.stderr.startswith("Indexing 5 lines")
    assert run("attempts", "list").stdout == before


def test_a_running_hub_keeps_its_index(run: Run, recorded: Folders) -> None:
    with hub_lock(recorded.run / "hub.lock"):
        result = run("attempts", "reindex")
    assert "another hub" in result.stderr
    assert result.exit_code == 1


def test_without_a_log_there_is_nothing_to_index(run: Run, site: Path) -> None:
    assert "there is no log yet" in run("attempts", "reindex").stderr

from pathlib import Path

from enforcer.folders import Folders


def test_everything_is_inside_the_data_folder_and_in_a_place_of_its_own() -> None:
    folders = Folders(Path("data"))
    places = [
        folders.spool,
        folders.log,
        folders.index,
        folders.policy,
        folders.counters,
        folders.orders,
        folders.accepted,
        folders.control,
    ]
    assert len(set(places)) == len(places)
    assert all(place.is_relative_to("data") for place in places)


def test_what_other_processes_are_kept_from_is_not_what_they_need() -> None:
    folders = Folders(Path("data"))
    kept = (*folders.secrets, *folders.evidence)
    assert folders.signing_key.parent in folders.secrets
    assert not {folders.spool, folders.policy, folders.run} & set(kept)


def test_what_lives_only_while_processes_do_is_in_one_folder() -> None:
    folders = Folders(Path("data"))
    inside = (folders.counters, folders.orders, folders.accepted, folders.control)
    assert {place.parent for place in inside} == {folders.run}

import pytest

from enforcer.attempts.report import Damage, Kind, Report


def test_damage_names_its_file_its_number_and_its_kind() -> None:
    damage = Damage(Kind.MISSING_FILE, "2026-11-24.ndjson", 7, "the numbers 7 to 9 are not there")
    assert str(damage) == "2026-11-24.ndjson: number 7: missing file: the numbers 7 to 9 are not there"


@pytest.mark.parametrize(
    ("report", "unsigned"),
    [(Report(), 0), (Report(lines=5, seq=5, first=1), 5), (Report(lines=5, seq=25, first=21, signed=23), 2)],
    ids=["nothing", "never signed", "signed up to 23"],
)
def test_what_is_behind_the_last_signature_is_not_proven(report: Report, unsigned: int) -> None:
    assert report.unsigned == unsigned

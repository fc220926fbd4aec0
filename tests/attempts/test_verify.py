"""Damage of every kind to a log of three days, and what is said of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcer.attempts.attempt import Closes, Event
from enforcer.attempts.chain import GENESIS, link, seal, unseal
from enforcer.attempts.checkpoint import Notary, read_public_keys
from enforcer.attempts.log import DayLog
from enforcer.attempts.purged import purge_statement, purged_path
from enforcer.attempts.report import Damage, Kind, Report
from enforcer.attempts.verify import LINE_MAX, verify_log
from tests.records import NOON_MS, moment

NOTARY = Notary.of("gw", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
KEYS = read_public_keys(NOTARY.public_pem.encode())
DAY_MS = 86_400_000
DAYS = ("2026-11-23", "2026-11-24", "2026-11-25")

type Change = Callable[[list[bytes]], list[bytes]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """Each day has eleven lines: 1 a start, 2-4, 5 a checkpoint, 6-9, 10 a stop, 11 the checkpoint that ends it.

    The last day's eleventh line is the checkpoint of the stop: its file goes on.
    """
    folder = tmp_path_factory.mktemp("log")
    log = DayLog(folder, NOTARY)
    now = moment(NOON_MS)
    for number in range(3):
        now = moment(NOON_MS + number * DAY_MS)

        def write(*names: str, now: object = now) -> None:
            log.append([Event(name, NOON_MS, "gw", {"x": name}) for name in names], now)  # type: ignore[arg-type]

        write("start", "a", "b", "c")
        log.checkpoint(now)
        write("d", "e", "f", "g", "stop")
    log.checkpoint(now, Closes.STOP)
    log.close()
    return {day: (folder / f"{day}.ndjson").read_bytes().splitlines(keepends=True) for day in DAYS}


@pytest.fixture
def days(original: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    return {day: list(lines) for day, lines in original.items()}


def verified(folder: Path, days: dict[str, list[bytes]], **options: object) -> Report:
    folder.mkdir(exist_ok=True)
    for day, lines in days.items():
        (folder / f"{day}.ndjson").write_bytes(b"".join(lines))
    return verify_log(folder, KEYS, **options)  # type: ignore[arg-type]


def damage(folder: Path, days: dict[str, list[bytes]], **options: object) -> Damage:
    found = verified(folder, days, **options).damage
    assert found is not None
    return found


def rechained(lines: list[bytes], head: bytes = GENESIS) -> list[bytes]:
    """What somebody makes who has the disk and not the key."""
    new = []
    for line in lines:
        body, _ = unseal(line.rstrip(b"\n"))
        new.append(seal(head, body))
        head = link(head, body)
    return new


def test_a_whole_log(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    seen: list[int] = []
    report = verified(tmp_path, days, progress=seen.append)
    assert report.damage is None
    assert (report.files, report.lines, report.first, report.seq, report.checkpoints) == (3, 33, 1, 33, 6)
    assert (report.signed, report.unsigned, report.keys) == (33, 0, (NOTARY.name,))
    assert report.hash == link(*reversed(unseal(days[DAYS[2]][-1][:-1]))).hex()
    assert seen[-1] == sum(len(line) for lines in days.values() for line in lines)


def test_lines_behind_the_last_signature_are_counted(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    days[DAYS[2]] = days[DAYS[2]][:-2]
    report = verified(tmp_path, days)
    assert report.damage is None
    assert (report.signed, report.unsigned) == (27, 4)


def test_a_log_without_any_line(tmp_path: Path) -> None:
    report = verify_log(tmp_path, KEYS)
    assert (report.damage, report.lines, report.unsigned) == (None, 0, 0)


def _capitals(line: bytes) -> bytes:
    return line[:-67] + line[-67:-3].upper() + line[-3:]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda ls: [*ls[:2], ls[2].replace(b'"x":"b"', b'"x":"B"'), *ls[3:]], (Kind.FLIPPED, 14, "not the line that")),
        (lambda ls: [*ls[:2], ls[2].replace(b'"seq":14', b'"seq":74'), *ls[3:]], (Kind.FLIPPED, 14, "changed to 74")),
        (lambda ls: [*ls[:2], ls[2][:-9] + b'000000"}\n', *ls[3:]], (Kind.FLIPPED, 14, "`prev`")),
        (lambda ls: [*ls[:2], b"#" + ls[2][1:], *ls[3:]], (Kind.FLIPPED, 14, "not the line that")),
        (lambda ls: [*ls[:2], ls[2][:-4] + b"##}\n", *ls[3:]], (Kind.FLIPPED, 14, "no record")),
        (lambda ls: [*ls[:2], _capitals(ls[2]), *ls[3:]], (Kind.FLIPPED, 14, "`prev`")),
        (lambda ls: [*ls[:2], ls[2].replace(b'"seq":14', b'"seq":4'), *ls[3:]], (Kind.FLIPPED, 14, "changed to 4")),
        (lambda ls: [ls[0][:-1] + b" ", *ls[1:]], (Kind.FLIPPED, 12, "no record")),
        (lambda ls: [*ls[:2], b"x" * LINE_MAX + b"\n", *ls[3:]], (Kind.FLIPPED, 14, "more than")),
        (lambda ls: [*ls[:2], *ls[3:]], (Kind.DROPPED, 14, "number 15 follows number 13")),
        (lambda ls: [*ls[:2], *ls[7:]], (Kind.DROPPED, 14, "number 19 follows number 13")),
        (lambda ls: [*ls[:2], ls[3], ls[2], *ls[4:]], (Kind.SWAPPED, 14, "number 15 stands in its place")),
        (lambda ls: [*ls[:2], ls[6], *ls[3:6], ls[2], *ls[7:]], (Kind.SWAPPED, 14, "number 18 stands in its place")),
        (lambda ls: [*ls[:2], ls[1], *ls[2:]], (Kind.APPENDED, 13, "a second line with this number")),
        (lambda ls: [*ls[:2], ls[0].replace(b'"seq":12', b'"seq":14'), *ls[2:]], (Kind.APPENDED, 14, "was put in")),
        (lambda ls: ls[:-1], (Kind.TRUNCATED, 22, "2026-11-25.ndjson follows")),
        (lambda ls: ls[:3], (Kind.TRUNCATED, 15, "2026-11-25.ndjson follows")),
        (lambda ls: [*ls[:-1], ls[-1][:-5]], (Kind.TRUNCATED, 22, "ends in its middle")),
        (lambda ls: [*ls, ls[0]], (Kind.APPENDED, 12, "a second line")),
    ],
    ids=[
        *(
            "edited",
            "renumbered",
            "hash",
            "first-octet",
            "unsealed",
            "capitals",
            "lower",
            "joined",
            "endless",
            "one",
            "five",
            "neighbours",
            "far",
        ),
        *("repeated", "inserted", "last", "tail", "torn", "behind"),
    ],
)
def test_the_first_bad_number_and_the_kind_of_damage(
    tmp_path: Path, days: dict[str, list[bytes]], change: Change, expected: tuple[Kind, int, str]
) -> None:
    """To the second of three days, whose numbers are 12 to 22."""
    days[DAYS[1]] = change(days[DAYS[1]])
    found = damage(tmp_path, days)
    assert (found.kind, found.seq) == expected[:2], found
    assert expected[2] in found.what


def test_a_missing_file(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    del days[DAYS[1]]
    found = damage(tmp_path, days)
    assert (found.kind, found.seq) == (Kind.MISSING_FILE, 12)
    assert "the numbers 12 to 22" in found.what


def test_missing_files_at_the_beginning(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    del days[DAYS[0]]
    assert (damage(tmp_path, days).kind, damage(tmp_path, days).seq) == (Kind.MISSING_FILE, 1)
    report = verified(tmp_path, days, since=DAYS[1])
    assert (report.damage, report.first, report.seq) == (None, 12, 33)
    until = verified(tmp_path, days, since=DAYS[1], until=DAYS[1])
    assert (until.damage, until.first, until.seq, until.signed) == (None, 12, 22, 22)


def test_lines_behind_the_end_of_a_day(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    lines = days[DAYS[0]]
    head = link(*reversed(unseal(lines[-1][:-1])))
    lines.append(seal(head, Event("start", NOON_MS, "gw", {}).body(12, NOON_MS)))
    found = damage(tmp_path, days)
    assert (found.kind, found.seq) == (Kind.APPENDED, 12)
    assert "the checkpoint that ends the day" in found.what


def test_lines_that_were_appended_while_the_hub_was_stopped(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    lines = days[DAYS[2]]
    head = link(*reversed(unseal(lines[-1][:-1])))
    for event, kind in (("start", None), ("recovered", None), ("reload", Kind.APPENDED)):
        body = Event(event, NOON_MS, "gw", {}).body(34, NOON_MS)
        found = verified(tmp_path, {**days, DAYS[2]: [*lines, seal(head, body)]}).damage
        assert (None if found is None else (found.kind, found.seq)) == (None if kind is None else (kind, 34))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda ls: [*ls[:6], ls[6].replace(b'"x":"e"', b'"x":"E"'), *ls[7:]], Kind.FLIPPED),
        (lambda ls: [*ls[:6], *[_renumbered(line, -1) for line in ls[7:10]], ls[10]], Kind.GAP),
    ],
    ids=["edited", "left-out"],
)
def test_a_chain_that_was_made_anew_contradicts_the_next_signature(
    tmp_path: Path, days: dict[str, list[bytes]], change: Change, kind: Kind
) -> None:
    days[DAYS[0]] = rechained(change(days[DAYS[0]]))
    found = damage(tmp_path, {DAYS[0]: days[DAYS[0]]})
    assert found.kind is kind
    if kind is Kind.FLIPPED:
        assert (found.seq, found.what) == (
            6,
            "the lines 6 to 10 are not those that the checkpoint in line 11 signs",
        )


def _renumbered(line: bytes, by: int) -> bytes:
    seq = json.loads(line)["seq"]
    return line.replace(b'"seq":%d,' % seq, b'"seq":%d,' % (seq + by))


def test_a_log_that_was_made_anew_with_one_line_less_or_more(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    """Every number and hash agrees; only the signature of line 11 does not fit what is before it."""
    lines = days[DAYS[0]]
    fewer = rechained([*lines[:6], *[_renumbered(line, -1) for line in lines[7:10]], _renumbered(lines[10], -1)])
    more = rechained([*lines[:6], lines[5].replace(b'"seq":6', b'"seq":7'), *[_renumbered(x, 1) for x in lines[6:]]])
    for changed in (fewer, more):
        found = damage(tmp_path, {DAYS[0]: changed})
        assert found.kind is Kind.BAD_SIGNATURE  # of the checkpoint, whose number had to be changed


def test_a_forged_signature(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    forger = Notary.of("gw", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    lines = days[DAYS[0]][:4]
    forged = forger.attest(
        seq=5, now=moment(NOON_MS), day=DAYS[0], first=1, count=4, head=bytes(32), root=bytes(32), closes=None
    )
    head = link(*reversed(unseal(lines[-1][:-1])))
    found = damage(tmp_path, {DAYS[0]: [*lines, seal(head, forged.body(5, NOON_MS))]})
    assert (found.kind, found.seq) == (Kind.BAD_SIGNATURE, 5)
    assert f"the key {forger.name}, which is not at hand; name it with --key" in found.what


def test_a_checkpoint_of_another_day(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    found = damage(tmp_path, {"2026-11-22": days[DAYS[0]]})
    assert (found.kind, found.seq) == (Kind.SWAPPED, 5)


def test_a_last_line_that_nothing_follows(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    lines = days[DAYS[0]][:3]
    lines[-1] = lines[-1].replace(b'"detail"', b'"de.ail"')
    found = damage(tmp_path, {DAYS[0]: lines})
    assert (found.kind, found.seq) == (Kind.FLIPPED, 3)


def test_numbers_that_the_writer_left_out(tmp_path: Path) -> None:
    bodies = [Event("start", NOON_MS, "gw", {}).body(seq, NOON_MS) for seq in (1, 2, 5, 6)]
    lines, head = [], GENESIS
    for body in bodies:
        lines.append(seal(head, body))
        head = link(head, body)
    found = damage(tmp_path, {DAYS[0]: lines})
    assert (found.kind, found.seq) == (Kind.GAP, 3)


def test_what_the_log_itself_says_that_it_lacks(tmp_path: Path) -> None:
    log = DayLog(tmp_path, NOTARY)
    log.append(
        [
            Event("loss", NOON_MS, "gw", {"worker": "dns-0", "reason": "spool_full", "count": 40, "total": 40}),
            Event("gap", NOON_MS, "gw", {"worker": "dns-0", "epoch": 1, "row": None, "count": None}),
            Event("gap", NOON_MS, "gw", {"worker": "dns-0", "epoch": 1, "row": 3, "count": 2}),
        ],
        moment(NOON_MS),
    )
    log.close()
    report = verify_log(tmp_path, KEYS)
    assert (report.declared, report.lost, report.damage) == ({"loss": 1, "gap": 2}, 42, None)


# What others have kept


def kept(days: dict[str, list[bytes]]) -> list[bytes]:
    return [line for lines in days.values() for line in lines if b'"type":"checkpoint"' in line]


def test_a_log_that_was_cut_off_contradicts_what_was_kept_elsewhere(
    tmp_path: Path, days: dict[str, list[bytes]]
) -> None:
    witnessed = [
        b"something else\n",
        *(b"<134>1 2026-11-23T12:00:00Z gw enforcer - - - " + line for line in kept(days)),
    ]
    report = verified(tmp_path, days, witnessed=witnessed)
    assert (report.damage, report.witnessed) == (None, 6)
    days[DAYS[2]] = days[DAYS[2]][:3]
    assert verified(tmp_path, days).damage is None
    found = damage(tmp_path, days, witnessed=witnessed)
    assert (found.kind, found.seq) == (Kind.TRUNCATED, 26)
    assert "has number 27; the log ends with 25" in found.what
    assert verified(tmp_path, days, witnessed=witnessed, until=DAYS[2]).damage is None
    assert verified(tmp_path, days, witnessed=witnessed[:3], since=DAYS[1]).damage is None


def test_a_log_that_the_key_s_holder_made_anew_contradicts_it_too(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    log = DayLog(tmp_path, NOTARY)
    for seq in range(1, 12):
        log.append([Event("start", NOON_MS, "gw", {"n": seq})], moment(NOON_MS))
        if seq == 4:
            log.checkpoint(moment(NOON_MS))
    log.close()
    assert verify_log(tmp_path, KEYS).damage is None
    found = verify_log(tmp_path, KEYS, witnessed=kept(days)[:1]).damage
    assert found is not None
    assert (found.kind, found.seq) == (Kind.FLIPPED, 1)
    found = verify_log(tmp_path, KEYS, witnessed=kept(days)[1:2]).damage
    assert found is not None
    assert (found.kind, found.seq) == (Kind.FLIPPED, 11)
    assert "is not in the log" in found.what


def test_what_was_kept_elsewhere_must_be_signed_too(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    forged = kept(days)[0].replace(b'"count":4', b'"count":3')
    found = damage(tmp_path, days, witnessed=[forged])
    assert (found.kind, found.seq, found.file) == (Kind.BAD_SIGNATURE, 5, "kept elsewhere, line 1")


# Purged days


def purge(folder: Path, days: dict[str, list[bytes]], day: str, notary: Notary = NOTARY) -> None:
    """What retention leaves of a day."""
    line = days.pop(day)[-1].rstrip(b"\n")
    said = purge_statement(notary, line, who="retention", reason="", held=0, now=moment(NOON_MS))
    purged_path(folder, day).write_bytes(line + b"\n" + said + b"\n")


def test_purged_days_are_no_damage(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    witnessed = kept(days)
    purge(tmp_path, days, DAYS[0])
    report = verified(tmp_path, days, witnessed=witnessed)
    assert (report.damage, report.purged, report.first, report.seq) == (None, DAYS[:1], 1, 33)
    purge(tmp_path, days, DAYS[1])
    (tmp_path / f"{DAYS[1]}.ndjson").unlink()
    report = verified(tmp_path, days, witnessed=witnessed)
    assert (report.damage, report.purged, report.files) == (None, DAYS[:2], 1)
    assert verified(tmp_path, days, since=DAYS[1]).damage is None


def test_a_day_that_is_still_there_needs_no_proof(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    """Killed between the proof and the deletion."""
    before = dict(days)
    purge(tmp_path, days, DAYS[0])
    report = verified(tmp_path, before)
    assert (report.damage, report.purged) == (None, ())


def test_a_forged_proof_and_a_missing_one(tmp_path: Path, days: dict[str, list[bytes]]) -> None:
    whole = dict(days)
    forger = Notary.of("gw", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    purge(tmp_path, days, DAYS[0], forger)
    found = damage(tmp_path, days)
    assert (found.kind, found.seq) == (Kind.BAD_SIGNATURE, 1)
    purged_path(tmp_path, DAYS[0]).write_bytes(b"nothing\n")
    assert damage(tmp_path, days).kind is Kind.FLIPPED
    purged_path(tmp_path, DAYS[0]).unlink()
    purge(tmp_path, whole, DAYS[1])
    (tmp_path / f"{DAYS[1]}.ndjson").unlink()
    del whole[DAYS[0]]
    found = damage(tmp_path, whole)
    assert (found.kind, found.seq, found.file) == (Kind.MISSING_FILE, 1, f"{DAYS[1]}.purged")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_no_octet_before_the_last_signature_can_be_changed(
    tmp_path: Path, original: dict[str, list[bytes]], data: st.DataObject
) -> None:
    day = data.draw(st.sampled_from(DAYS))
    text = bytearray(b"".join(original[day]))
    # The hash that a last line is chained by is the one thing that nothing behind it and no signature covers.
    at = data.draw(st.integers(0, len(text) - 80))
    new = data.draw(st.integers(0, 255).filter(lambda octet: octet != text[at]))
    text[at] = new
    found = damage(tmp_path, {**original, day: [bytes(text)]})
    begin = DAYS.index(day) * 11
    changed = bytes(text[:at]).count(b"\n") + begin + 1
    assert begin < found.seq <= changed + 1

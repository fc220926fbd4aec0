from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enforcer.attempts.checkpoint import Notary
from enforcer.attempts.keys import public_path
from enforcer.attempts.log import days
from enforcer.console.pages import signed
from enforcer.console.pages.inlog import look
from enforcer.console.pages.signed import Signature, Signed, signature
from tests.console.lab import NOTARY, Lab, attempt
from tests.console.pages.test_inlog import line


def found(lab: Lab, seq: int) -> Signature | None:
    return signature(lab.site.log, look(lab.site.log, line(lab, seq)))


def file_of(lab: Lab) -> Path:
    return days(lab.site.log)[-1]


def test_before_the_first_checkpoint_nothing_is_signed(lab: Lab) -> None:
    assert found(lab, 2) == Signature(Signed.NOT_YET, 3)
    assert found(lab, 5) == Signature(Signed.NOT_YET, 0)


def test_a_record_is_signed_by_the_next_checkpoint_and_no_other(lab: Lab) -> None:
    lab.sign()
    lab.write(attempt(5))
    lab.sign()
    now_ms = int(lab.now[0].timestamp() * 1000)
    assert found(lab, 2) == Signature(Signed.VALID, 3, 6, now_ms, NOTARY.name)
    assert found(lab, 7) == Signature(Signed.VALID, 0, 8, now_ms, NOTARY.name)


def test_a_signature_of_another_key_is_told(lab: Lab) -> None:
    lab.log.notary = Notary.of("gw-1", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    lab.sign()
    forged = found(lab, 2)
    assert forged is not None
    assert (forged.signed, forged.seq) == (Signed.INVALID, 6)


@pytest.mark.parametrize("damage", ["", "no key at all"])
def test_without_a_key_no_signature_is_good(lab: Lab, damage: str) -> None:
    lab.sign()
    path = public_path(lab.site.log, NOTARY.name)
    path.unlink()
    if damage:
        path.write_text(damage)
    unknown = found(lab, 2)
    assert unknown is not None
    assert (unknown.signed, unknown.key) == (Signed.INVALID, NOTARY.name)


def test_lines_that_were_changed_before_the_checkpoint_are_told(lab: Lab) -> None:
    lab.sign()
    path = file_of(lab)
    path.write_bytes(path.read_bytes().replace(b"www.talk.test", b"www.tall.test"))
    assert found(lab, 2) == Signature(Signed.BROKEN, 2)
    assert found(lab, 4) is None  # the record itself was altered: there is nothing to sign


def test_a_checkpoint_over_other_lines_signs_nothing_here(lab: Lab) -> None:
    """A whole chain made anew behind the record, with the old signature put under it."""
    honest = lab.log.head
    lab.log.head = bytes(32)
    lab.log.checkpoint(lab.now[0])
    lab.log.head = honest
    path = file_of(lab)
    *lines, last = path.read_bytes().splitlines(keepends=True)
    assert last.endswith(b'"prev":"' + b"0" * 64 + b'"}\n')
    path.write_bytes(b"".join(lines) + last.replace(b'"prev":"' + b"0" * 64, b'"prev":"' + honest.hex().encode()))
    broken = found(lab, 5)
    assert broken is not None
    assert (broken.signed, broken.seq) == (Signed.BROKEN, 6)


def test_damage_behind_the_record_and_a_file_that_goes_are_told(lab: Lab) -> None:
    place = look(lab.site.log, line(lab, 5))
    with file_of(lab).open("ab") as file:
        file.write(b"nonsense\n")
    assert signature(lab.site.log, place) == Signature(Signed.BROKEN, 0)
    file_of(lab).unlink()
    assert signature(lab.site.log, place) is None


def test_a_line_that_is_being_written_is_waited_for(lab: Lab) -> None:
    with file_of(lab).open("ab") as file:
        file.write(b'{"v":1,"type":"checkpoint",')
    assert found(lab, 5) == Signature(Signed.NOT_YET, 0)


def test_it_is_not_looked_for_too_far(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed, "LINES_MOST", 3)
    lab.sign()
    assert found(lab, 2) == Signature(Signed.FAR, 3)
    assert found(lab, 3) == Signature(Signed.VALID, 2, 6, int(lab.now[0].timestamp() * 1000), NOTARY.name)

import pytest

from enforcer.devices.tokens import token_hash
from enforcer.resolver.admission import Admission, Standing, shown

TOKEN = "abcdefghijklmnop"
KNOWN = frozenset({token_hash(TOKEN) or b""})


@pytest.mark.parametrize(
    ("server_name", "token"),
    [
        (f"{TOKEN}.dns.test", TOKEN),
        (f"{TOKEN.upper()}.DNS.test.", TOKEN),
        ("dns.test", None),
        (f"a.{TOKEN}.dns.test", None),
        (f"{TOKEN}.other.test", None),
        ("", None),
        (None, None),
    ],
)
def test_a_token_is_the_one_label_before_our_name(server_name: str | None, token: str | None) -> None:
    assert Admission(tokens=True, name="dns.test").token_of(server_name) == token
    assert Admission(tokens=False, name="dns.test").token_of(server_name) is None
    assert Admission(tokens=True, name=None).token_of(server_name) is None


@pytest.mark.parametrize(
    ("admission", "token", "certified", "standing"),
    [
        (Admission(), None, False, Standing.BY_ADDRESS),
        (Admission(), None, True, Standing.PROVEN),
        (Admission(), TOKEN, True, Standing.REFUSED),
        (Admission(tokens=True, hashes=KNOWN), None, False, Standing.BY_ADDRESS),
        (Admission(tokens=True, hashes=KNOWN), TOKEN, False, Standing.PROVEN),
        (Admission(tokens=True, hashes=KNOWN), TOKEN[::-1], True, Standing.REFUSED),
        (Admission(tokens=True, strictest=True, hashes=KNOWN), TOKEN[::-1], True, Standing.STRICTEST),
        (Admission(tokens=True, required=True, hashes=KNOWN), None, True, Standing.REFUSED),
        (Admission(tokens=True, required=True, hashes=KNOWN), TOKEN, False, Standing.PROVEN),
        (Admission(tokens=True, required=True, strictest=True), None, False, Standing.STRICTEST),
        (Admission(tokens=True, required=True, strictest=True), TOKEN, False, Standing.STRICTEST),
    ],
)
def test_what_is_shown_says_who_may_ask(
    admission: Admission, token: str | None, certified: bool, standing: Standing
) -> None:
    assert admission.standing(token, certified=certified) is standing


def test_known_hashes_are_not_printed() -> None:
    assert "hashes" not in repr(Admission(hashes=KNOWN))


@pytest.mark.parametrize(
    ("standing", "token", "certificate", "expected"),
    [
        (Standing.BY_ADDRESS, None, None, None),
        (Standing.PROVEN, TOKEN, None, f"token:{(token_hash(TOKEN) or b'').hex()}"),
        (Standing.PROVEN, TOKEN.upper(), None, f"token:{(token_hash(TOKEN) or b'').hex()}"),
        (Standing.STRICTEST, TOKEN, None, None),
        (Standing.REFUSED, TOKEN, None, None),
        (Standing.PROVEN, None, b"\1\2", "certificate:0102"),
        (Standing.PROVEN, TOKEN, b"\1\2", "certificate:0102"),
    ],
)
def test_what_is_shown_is_a_verified_certificate_or_a_known_token(
    standing: Standing, token: str | None, certificate: bytes | None, expected: str | None
) -> None:
    assert shown(standing, token, certificate) == expected

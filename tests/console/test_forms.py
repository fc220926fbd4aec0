import pytest

from enforcer.console.forms import FormKey, is_foreign, new_cookie


def test_a_token_fits_the_browser_it_was_made_for() -> None:
    key, cookie = FormKey(), new_cookie()
    token = key.token(cookie)
    assert key.fits(cookie, token)
    assert not key.fits(new_cookie(), token)
    assert not key.fits(None, token)
    assert not key.fits("", key.token(""))
    assert not key.fits(cookie, None)
    assert not FormKey().fits(cookie, token)


@pytest.mark.parametrize(
    ("origin", "site", "foreign"),
    [
        (None, None, False),
        ("https://c.test", None, False),
        ("https://evil.test", None, True),
        ("null", None, True),
        ("https://c.test", "same-origin", False),
        (None, "none", False),
        ("https://c.test", "cross-site", True),
        ("https://c.test", "same-site", True),
    ],
)
def test_browsers_say_who_sends(origin: str | None, site: str | None, foreign: bool) -> None:
    assert is_foreign(origin, site, "c.test") is foreign

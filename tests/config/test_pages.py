from collections.abc import Callable
from pathlib import Path

import pytest

from enforcer.config.model import Config
from enforcer.config.pages import Auth, Role

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]
type Refused = Callable[[Changes], list[str]]


def test_what_need_not_be_written_has_these_defaults(configured: Configured) -> None:
    assert configured({}).metrics.model_dump() == {
        "listen": "127.0.0.1:9310",
        "networks": (),
        "devices": 50,
        "probe_s": 60,
    }
    assert (configured({}).console, configured({}).block_page) == (None, None)


def test_a_console_is_local_and_wants_passwords_unless_said_otherwise(configured: Configured) -> None:
    console = configured({"console": {}, "console.time_zone": "America/Toronto"}).console
    assert console is not None
    assert (str(console.listen), console.auth, console.open_roles) == ("127.0.0.1:9311", Auth.LOCAL, (Role.VIEWER,))
    assert console.is_local
    assert console.origin == "http://127.0.0.1:9311"
    page = configured({"block_page.listen": "192.0.2.80:80"}).block_page
    assert page is not None
    assert str(page.listen) == "192.0.2.80:80"


def test_what_browsers_write_is_kept_in_one_form(configured: Configured) -> None:
    console = configured({"console.url": "https://Enforcer.Dept.example/"}).console
    assert console is not None
    assert console.origin == "https://enforcer.dept.example"


@pytest.mark.parametrize(
    "url", ["enforcer.dept.example", "https://", "ftp://a.test", "https://a.test/x", "https://a@b.test"]
)
def test_what_is_no_address_of_pages(refused: Refused, url: str) -> None:
    (said,) = refused({"console.url": url})
    assert said.startswith(f'console.url: "{url}" is not an address of pages')


def test_never_open_beyond_loopback(refused: Refused) -> None:
    beyond = '"192.0.2.1:9311" is not loopback'
    people = "auth: local, and add people with enforcer console user add; or auth: oidc, or auth: proxy"
    url = 'write what browsers reach it by, as in url: "https://enforcer.dept.example"'
    assert refused({"console.listen": "192.0.2.1:9311", "console.auth": "open"}) == [
        f"console.auth: {beyond}, and would be open to everybody there; write {people}",
        f'console.certificate: {beyond}; write "certificate" and "key", as in certificate: "console.pem"',
        f"console.url: {beyond}; {url}",
    ]
    (said,) = refused(
        {"console": {"listen": "[2001:db8::1]:443", "url": "http://a.test", "certificate": "x", "key": "x"}}
    )[2:]
    assert said == 'console.url: "http://a.test" has no TLS; write it with "https"'


def test_each_way_of_signing_in_has_what_it_needs(refused: Refused) -> None:
    assert refused({"console.auth": "oidc"}) == [
        'console.oidc: missing; auth is "oidc": write the section, which config schema describes',
        (
            "console.url: missing; the provider sends people back to it: write it, as in "
            'url: "https://enforcer.dept.example"'
        ),
    ]
    assert refused({"console.auth": "proxy"}) == [
        'console.proxy: missing; auth is "proxy": write the section, which config schema describes'
    ]
    assert refused({"console.auth": "none"})[0].startswith('console.auth: "none" is not a choice here')


def test_values_are_checked(refused: Refused) -> None:
    provider = {
        "issuer": "http://login.test",
        "client_id": "x",
        "client_secret_file": "wechat.yaml",
        "roles": {"a": "boss"},
    }
    said = refused({"console": {"oidc": provider, "time_zone": "Mars/Olympus"}})
    assert any(each.startswith('console.oidc.issuer: "http://login.test" is not an issuer') for each in said)
    assert any(each.startswith('console.oidc.roles.a: "boss" is not a choice here') for each in said)
    assert any(each.startswith('console.time_zone: "Mars/Olympus" is not a time zone') for each in said)
    front = {"networks": ["192.0.2.1"], "user_header": "X User", "roles": {"a": "viewer"}}
    (header,) = refused({"console": {"proxy": front}})
    assert header.startswith('console.proxy.user_header: "X User" is not the name of a header')


def test_half_a_certificate_is_none(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "console.pem").touch()
    assert refused({"console.certificate": "console.pem"}) == [
        'console.key: missing; write it, as in key: "console.key"'
    ]


def test_pages_do_not_share_an_address(refused: Refused) -> None:
    assert refused({"console.listen": "127.0.0.1:9310", "block_page.listen": "127.0.0.1:5300"}) == [
        'console.listen: "127.0.0.1:9310" is taken by metrics; write another address or port',
        'block_page.listen: "127.0.0.1:5300" is taken by listener "dns"; write another address or port',
    ]

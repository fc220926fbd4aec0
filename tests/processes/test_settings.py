import json
import os
from ipaddress import ip_address

import pytest

from enforcer.decide.cookies import Cookie
from enforcer.errors import Unavailable
from enforcer.processes.settings import (
    cookies_of,
    information_of,
    manner_of,
    structured_of,
    workers_of,
)
from enforcer.resolver.upstream import Manner
from tests.processes.site import Site


@pytest.mark.parametrize(("workers", "expected"), [(3, 3), ("auto", len(os.sched_getaffinity(0))), (1, 1)])
def test_workers_are_as_many_as_configured_else_one_a_cpu(site: Site, workers: int | str, expected: int) -> None:
    site.resolver["workers"] = workers
    assert workers_of(site.config) == expected


@pytest.mark.parametrize(("strategy", "fastest"), [("fastest", True), ("ordered", False)])
def test_how_upstreams_are_asked_is_taken_from_the_configuration(site: Site, strategy: str, fastest: bool) -> None:
    site.resolver["strategy"] = strategy
    assert manner_of(site.config) == Manner(fastest, 0.1, 0.2)


SECRET = "00112233445566778899aabbccddeeff"


def test_e8_cookies_are_off_until_there_is_a_secret_and_a_file_without_one_is_told(site: Site) -> None:
    assert cookies_of(site.config) is None
    path = site.folder / "cookie.secret"
    path.write_text(f"{SECRET}\n")
    site.resolver["cookies"] = {"secret_file": str(path)}
    made = cookies_of(site.config)
    assert made is not None
    assert len(made.answer(Cookie(b"12345678", b""), ip_address("192.0.2.1").packed, 0)) == 24
    path.write_text("secret\n")
    with pytest.raises(Unavailable, match="no cookie secrets") as failed:
        cookies_of(site.config)
    assert '"secret"' not in str(failed.value)


def test_resinfo_tells_what_errors_there_are_and_where_to_read_more(site: Site) -> None:
    assert information_of(site.config) is None
    site.resolver["info_url"] = "https://it.dept.example/dns"
    assert information_of(site.config) == b"\x12exterr=15,18,22,23\x23infourl=https://it.dept.example/dns"


def test_b6_structured_errors_are_off_until_their_option_has_a_code(site: Site) -> None:
    assert structured_of(site.config) is None
    wanted = {"option": 65400, "sub_error": 6, "language": "fr", "organization": "Ministère"}
    site.resolver["ede"] = {"structured": wanted}
    made = structured_of(site.config)
    assert made is not None
    assert json.loads(made.full) == {
        "s": 6,
        "l": "fr",
        "j": "Bloqué par la politique de l’organisation",
        "o": "Ministère",
    }
    assert made.short == made.full, "without a contact the justification is what makes it worth anything"


def test_b6_the_contact_is_what_is_left_where_there_is_no_room(site: Site) -> None:
    site.resolver["ede"] = {"structured": {"option": 65400}}
    site.policy["notice"] = {"contact": "mailto:itsec@dept.example"}
    made = structured_of(site.config)
    assert made is not None
    assert json.loads(made.full)["j"] == "Blocked by organization policy"
    assert made.short == '{"c":["mailto:itsec@dept.example"],"s":5}'

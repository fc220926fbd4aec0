"""A device asks for something banned: what it gets, what is recorded, and that upstream never heard of it."""

import re

import pytest

from tests.e2e.lan import (
    LAB,
    OUTSIDE,
    PHONE,
    TABLET,
    UNKNOWN,
    WATCHED,
    Service,
    Unbound,
    assert_whole,
    question,
    total,
)

SOA = "60 IN SOA policy.invalid. hostmaster.invalid. 1 3600 600 86400 60"


def test_a_blocked_name_does_not_exist_with_a_reason_and_is_recorded_once(service: Service, upstream: Unbound) -> None:
    answer = service.dig("first.blocked.test")
    assert answer.status == "NXDOMAIN"
    assert answer.flags == {"qr", "rd", "ra"}
    assert answer.ede == "15 (Blocked)"
    assert "Blocked by organization policy / Bloqué par la politique de l’organisation" in answer.text
    assert answer.answer == []
    assert answer.authority == [["blocked.test.", *SOA.split()]]

    [record] = service.recorded(1, name="first.blocked.test")
    assert {key: record[key] for key in ("layer", "action", "response", "service", "part", "evidence", "ban")} == {
        "layer": "dns",
        "action": "blocked",
        "response": "nxdomain",
        "service": "chat",
        "part": "messaging",
        "evidence": "app",
        "ban": "dept-2026-04",
    }
    assert (record["rule"], record["qtype"], record["rcode"], record["ede"], record["transport"]) == (
        "chat/suffix/blocked.test",
        "A",
        "NXDOMAIN",
        15,
        "udp",
    )
    assert (record["device"], record["group"], record["client_ip"], record["realm"], record["count"]) == (
        "phone",
        "field",
        PHONE,
        "office",
        1,
    )
    assert "first.blocked.test" not in upstream.asked


def test_forty_repeats_become_a_first_line_and_summaries_with_exact_counts(service: Service) -> None:
    for number in range(41):
        service.send(question("again.blocked.test", number=number))
    service.send(question("again.blocked.test"), TABLET)
    phone = service.recorded(41, name="again.blocked.test", device="phone")
    tablet = service.recorded(1, name="again.blocked.test", device="tablet")
    assert (total(phone), total(tablet)) == (41, 1)
    assert phone[0]["count"] == 1
    assert len(phone) < 8  # a window is two seconds, and each of two workers has its own
    assert_whole(service)


def test_every_name_and_device_asked_is_found_by_the_commands(service: Service) -> None:
    service.dig("found.blocked.test", source=TABLET)
    [record] = service.recorded(1, name="found.blocked.test")
    listed = service.enforcer("attempts", "list", "--name", "found.blocked.test", "--json")
    assert record["id"] in listed
    assert "chat.yaml" in service.enforcer("explain", "found.blocked.test", status=None)


@pytest.mark.parametrize("qtype", ["A", "AAAA", "HTTPS", "SVCB", "TXT", "ANY", "NS", "DS", "MX", "TYPE65280"])
def test_a_blocked_name_does_not_exist_for_any_type(service: Service, upstream: Unbound, qtype: str) -> None:
    name = f"{qtype.lower()}.types.blocked.test"
    answer = service.dig(name, qtype, "+notcp")
    assert (answer.status, answer.ede, answer.answer) == ("NXDOMAIN", "15 (Blocked)", [])
    [record] = service.recorded(1, name=name)
    assert record["qtype"] == qtype
    assert name not in upstream.asked


@pytest.mark.parametrize("option", ["+dnssec", "+cd", "+norec", "+bufsize=512", "+noadflag", "+nocookie"])
def test_no_flag_of_the_client_gets_a_blocked_name_through(service: Service, option: str) -> None:
    answer = service.dig("flags.blocked.test", option)
    assert (answer.status, answer.ede, answer.answer) == ("NXDOMAIN", "15 (Blocked)", [])
    assert "ad" not in answer.flags


def test_a_blocked_name_is_blocked_over_tcp(service: Service) -> None:
    answer = service.dig("stream.blocked.test", "+tcp")
    assert (answer.status, answer.ede) == ("NXDOMAIN", "15 (Blocked)")
    [record] = service.recorded(1, name="stream.blocked.test")
    assert (record["transport"], record["device"]) == ("tcp", "phone")


@pytest.mark.parametrize("options", [(), ("+tcp",)])
def test_a_blocked_name_is_blocked_over_ipv6(service: Service, options: tuple[str, ...]) -> None:
    name = f"six{''.join(options)[1:]}.blocked.test"
    answer = service.dig6(name, *options)
    assert (answer.status, answer.ede) == ("NXDOMAIN", "15 (Blocked)")
    [record] = service.recorded(1, name=name)
    assert (record["client_ip"], record["device"]) == ("::1", "phone")


def test_a_client_without_edns_is_told_without_it(service: Service) -> None:
    answer = service.dig("plain.blocked.test", "+noedns")
    assert (answer.status, answer.edns, answer.ede) == ("NXDOMAIN", False, "")
    assert answer.authority == [["blocked.test.", *SOA.split()]]
    [record] = service.recorded(1, name="plain.blocked.test")
    assert record["ede"] is None


def test_the_letter_case_of_the_question_is_kept_and_does_not_matter(service: Service) -> None:
    for name in ("cAsE.BlOcKeD.tEsT", "CASE.blocked.test", "cAsE.BlOcKeD.tEsT"):
        answer = service.dig(name)
        assert answer.status == "NXDOMAIN"
        assert f";{name}." in answer.text
    assert total(service.recorded(3, name="case.blocked.test")) == 3


def test_a_name_that_only_ends_alike_is_not_blocked(service: Service) -> None:
    assert service.dig("unblocked.test").ede == ""
    assert service.dig("blocked.test.ok.test").data == ["192.0.2.20"]


def test_a_rule_for_one_name_denies_its_data_and_not_the_names_below(service: Service) -> None:
    answer = service.dig("only.test")
    assert (answer.status, answer.ede, answer.answer) == ("NOERROR", "15 (Blocked)", [])
    assert answer.authority == [["only.test.", *SOA.split()]]
    assert service.dig("below.only.test").data == ["192.0.2.13"]
    [record] = service.recorded(1, name="only.test")
    assert (record["response"], record["rule_kind"]) == ("nodata", "exact")
    assert service.attempts(name="below.only.test") == []


def test_a_pattern_blocks_what_it_matches(service: Service) -> None:
    assert service.dig("im7.test").ede == "15 (Blocked)"
    [record] = service.recorded(1, name="im7.test")
    assert record["rule_kind"] == "regex"


def test_an_alias_of_a_banned_name_is_followed_up_to_it(service: Service) -> None:
    answer = service.dig("alias.test")
    assert (answer.status, answer.ede) == ("NXDOMAIN", "15 (Blocked)")
    assert [[record[0], *record[3:]] for record in answer.answer] == [
        ["alias.test.", "CNAME", "middle.test."],
        ["middle.test.", "CNAME", "media.blocked.test."],
    ]
    assert answer.authority == [["blocked.test.", *SOA.split()]]
    [record] = service.recorded(1, name="alias.test")
    assert (record["via"], record["rule"]) == ("media.blocked.test", "chat/suffix/blocked.test")
    again = service.dig("alias.test")  # from the cache
    assert (again.status, again.ede, again.data) == ("NXDOMAIN", "15 (Blocked)", answer.data)


def test_an_answer_with_a_banned_address_is_withheld(service: Service) -> None:
    answer = service.dig("hosted.test")
    assert (answer.status, answer.ede, answer.answer) == ("NOERROR", "15 (Blocked)", [])
    assert "198.51.100.66" not in answer.text
    [record] = service.recorded(1, name="hosted.test")
    assert (record["via"], record["rule"]) == ("198.51.100.66", "chat/cidr/198.51.100.64/26")


def test_a_watched_realm_gets_the_answer_and_the_attempt_is_observed(service: Service) -> None:
    answer = service.dig("watched.blocked.test", source=WATCHED)
    assert (answer.status, answer.ede, answer.data) == ("NOERROR", "", ["203.0.113.2"])
    [record] = service.recorded(1, name="watched.blocked.test")
    assert (record["action"], record["response"], record["realm"]) == ("observed", None, "watched")
    assert (record["device"], record["identity"]["source"]) == (None, "unknown")


def test_what_a_watched_realm_put_into_the_cache_is_blocked_for_the_others(service: Service) -> None:
    assert service.dig("shared.blocked.test", source=WATCHED).data == ["203.0.113.2"]
    assert service.dig("shared.blocked.test").status == "NXDOMAIN"
    assert service.dig("shared.blocked.test", source=WATCHED).data == ["203.0.113.2"]


def test_an_exempt_device_gets_the_answer_without_a_trace(service: Service) -> None:
    assert service.dig("studied.blocked.test", source=LAB).data == ["203.0.113.2"]
    assert service.dig("studied.blocked.test", source=PHONE).status == "NXDOMAIN"
    service.recorded(1, name="studied.blocked.test")
    assert service.attempts(device="lab") == []


def test_an_exemption_that_has_ended_exempts_nobody(service: Service) -> None:
    answer = service.dig("ended.blocked.test", source="127.0.0.4")
    assert (answer.status, answer.ede) == ("NXDOMAIN", "15 (Blocked)")
    assert service.recorded(1, name="ended.blocked.test")[0]["device"] == "former-lab"


@pytest.mark.parametrize("options", [(), ("+tcp",)])
@pytest.mark.parametrize("name", ["stranger.blocked.test", "www.test"])
def test_a_client_outside_of_the_realms_is_refused_and_not_recorded(
    service: Service, name: str, options: tuple[str, ...]
) -> None:
    answer = service.dig(name, *options, source=OUTSIDE)
    assert (answer.status, answer.ede, answer.answer) == ("REFUSED", "18 (Prohibited)", [])
    service.dig("after.blocked.test")
    service.recorded(1, name="after.blocked.test")
    assert service.attempts(client_ip=OUTSIDE) == []


def test_an_unknown_device_is_blocked_and_recorded_as_unknown(service: Service) -> None:
    assert service.dig("guest.blocked.test", source=UNKNOWN).status == "NXDOMAIN"
    [record] = service.recorded(1, name="guest.blocked.test")
    assert (record["device"], record["group"], record["client_ip"]) == (None, None, UNKNOWN)
    assert record["identity"]["source"] == "unknown"


def test_before_users_are_told_neither_device_nor_address_is_written_down(own: Service) -> None:
    own.change(**{"policy.notice.monitoring_notice_acknowledged": False})
    own.start()
    for source in (TABLET, UNKNOWN):
        assert own.dig("silent.blocked.test", source=source).status == "NXDOMAIN"
    lines = own.recorded(2, name="silent.blocked.test")
    assert {(line["device"], line["client_ip"], line["client_port"]) for line in lines} == {(None, None, None)}
    assert "enforcer_device_attempts" not in own.page()
    assert own.stop() == 0
    written = b"".join(path.read_bytes() for path in sorted(own.data.rglob("*")) if path.is_file())
    assert TABLET.encode() not in written
    assert not re.search(UNKNOWN.replace(".", r"\."), own.stderr)

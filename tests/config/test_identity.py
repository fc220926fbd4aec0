from collections.abc import Callable
from pathlib import Path

import pytest

from enforcer.config.model import Config

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]
type Refused = Callable[[Changes], list[str]]


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    """What is named is there."""
    for name in ("r.pem", "r.key", "ca.pem", "x"):
        (tmp_path / name).touch()


def test_what_need_not_be_written_has_these_defaults(configured: Configured) -> None:
    assert configured({}).identity.model_dump() == {
        "inventory": None,
        "radius": (),
        "leases": (),
        "neighbours": (),
        "tunnels": (),
        "shared": None,
        "shared_password_file": None,
        "wait_s": 5.0,
        "settle_s": 1.0,
        "silent_days": 7,
        "sessions_max": 400_000,
        "expire_h": 24,
        "history_h": 24,
    }


CLIENT = {"network": "192.0.2.10", "secret_file": "pgw.secret"}


def test_accounting_over_udp_and_tls(configured: Configured) -> None:
    tls = {"tls": "127.0.0.1:2083", "certificate": "r.pem", "key": "r.key", "client_ca": "ca.pem"}
    radius = {"realm": "home", "listen": "127.0.0.1:5813", **tls, "clients": [CLIENT, {"name": "PGW2.example."}]}
    (found,) = configured({"identity.radius": [radius]}).identity.radius
    assert [client.name for client in found.clients] == [None, "pgw2.example"]
    assert (found.message_authenticator, found.clients[0].calling_station) == ("auto", "auto")


@pytest.mark.parametrize(
    ("radius", "said"),
    [
        ({"clients": [CLIENT]}, "it listens nowhere"),
        ({"listen": "127.0.0.1:5813", "clients": [{"name": "pgw.example"}]}, "nobody may send over UDP"),
        ({"tls": "127.0.0.1:2083", "clients": [CLIENT]}, "TLS needs"),
        ({"listen": "127.0.0.1:5813", "clients": [{}]}, "a client is known by its address or its certificate"),
        ({"listen": "127.0.0.1:5813", "clients": [{"network": "192.0.2.1"}]}, "a secret goes with an address"),
        ({"listen": "127.0.0.1:5813", "clients": []}, "identity.radius[0].clients: empty"),
        (
            {"listen": "127.0.0.1:5813", "clients": [CLIENT], "realm": "hone"},
            '"hone" is not a realm; did you mean "home"?',
        ),
    ],
)
def test_what_cannot_be_meant_of_accounting_is_told(refused: Refused, radius: Changes, said: str) -> None:
    found = refused({"identity.radius": [{"realm": "home", **radius}]})
    assert len(found) == 1
    assert said in found[0]


def test_two_feeds_do_not_share_an_address(refused: Refused) -> None:
    radius = {"realm": "home", "listen": "127.0.0.1:5813", "clients": [CLIENT]}
    (said,) = refused({"identity.radius": [radius, radius]})
    assert said.startswith('identity.radius[1].listen: "127.0.0.1:5813" is taken by the accounting of realm "home"')


@pytest.mark.parametrize("key", ["leases", "neighbours", "tunnels"])
def test_each_source_is_of_a_realm(refused: Refused, key: str) -> None:
    sources: dict[str, Changes] = {
        "leases": {"path": "x"},
        "neighbours": {"interfaces": ["a"]},
        "tunnels": {"interface": "wg0"},
    }
    source = sources[key]
    (said,) = refused({f"identity.{key}": [{"realm": "nowhere", **source}]})
    assert said.startswith(f'identity.{key}[0].realm: "nowhere" is not a realm')


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"identity.shared": "http://192.0.2.5"}, '"http" is not where a Redis is'),
        ({"identity.shared": "redis://:secret@192.0.2.5"}, "a password stands in it"),
        ({"identity.shared_password_file": "x"}, "nothing is shared"),
    ],
)
def test_where_sessions_are_shared(refused: Refused, changes: Changes, said: str) -> None:
    (found,) = refused(changes)
    assert said in found
    assert "secret" not in found.replace("secret_", "")


def test_a_country_code_has_digits(refused: Refused) -> None:
    (said,) = refused({"identity.inventory": {"file": "x", "country_code": "+1"}})
    assert '"+1" is not a code' in said


def test_who_is_monitored_is_one_device_or_one_group(refused: Refused) -> None:
    monitored = {"until": "2027-01-31", "reason": "pilot", "approved_by": "Director"}
    (said,) = refused({"policy.monitored": [monitored]})
    assert "monitoring is for one device or one group" in said

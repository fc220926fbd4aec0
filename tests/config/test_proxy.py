from collections.abc import Callable

import pytest

from enforcer.config.model import Config
from enforcer.config.proxy import endpoints, shared
from enforcer.errors import Mistakes

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]


def test_what_need_not_be_written_has_these_defaults(configured: Configured) -> None:
    proxy = configured({}).proxy
    assert proxy.model_dump(mode="json") == {
        "modes": [],
        "workers": "auto",
        "unknown": "pass",
        "outside": "refuse",
        "limits": {"connections": 20_000, "per_client": 1_000},
        "idle_s": 7200,
        "drain_s": 5.0,
        "intercept_for_block_page": False,
        "ca_dir": None,
    }


@pytest.mark.parametrize(
    "mode",
    [
        "regular@127.0.0.1:5080",
        "regular@[::1]:5080",
        "transparent@5081",
        "upstream:http://192.0.2.8:3128@127.0.0.1:5080",
        "upstream:https://proxy.example:3128@5080",
        "socks5@1080",
        "wireguard@51820",
        "wireguard:/etc/enforcer/wg.conf@51820",
        "tun:enf0",
        "dns@127.0.0.1:5353",
        "local:curl",
        "local",
    ],
)
def test_modes_are_written_as_mitmproxy_writes_them(configured: Configured, mode: str) -> None:
    assert configured({"proxy.modes": [mode]}).proxy.modes == (mode,)


@pytest.mark.parametrize(
    ("mode", "hint"),
    [
        ("reverse:https://192.0.2.1@443", "is not a mode"),
        ("regular", "has no port"),
        ("regular@127.0.0.1:0", "is not a mode"),
        ("regular@127.0.0.1:70000", "is not a mode"),
        ("regular@localhost:5080", "is not a mode"),
        ("regular@1.2.3:5080", "is not an IP address"),
        ("regular:x@5080", "takes nothing behind"),
        ("upstream@5080", "names no proxy"),
        ("upstream:socks://192.0.2.8@5080", "names no proxy"),
    ],
)
def test_what_is_no_mode_is_refused_with_what_to_write(configured: Configured, mode: str, hint: str) -> None:
    with pytest.raises(Mistakes, match=hint):
        configured({"proxy.modes": [mode]})


def test_push_connections_are_not_cut(configured: Configured) -> None:
    with pytest.raises(Mistakes, match="from 3600 to"):
        configured({"proxy.idle_s": 60})


def test_where_a_shared_mode_listens() -> None:
    assert [str(each) for each in endpoints("transparent@5081")] == ["0.0.0.0:5081", "[::]:5081"]
    assert [str(each) for each in endpoints("regular@[::1]:5080")] == ["[::1]:5080"]
    assert [str(each) for each in endpoints("upstream:http://192.0.2.8:3128@5080")] == ["0.0.0.0:5080", "[::]:5080"]
    assert shared("upstream:http://192.0.2.8:3128@5080")
    assert not shared("tun:enf0")

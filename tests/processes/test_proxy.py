import asyncio
from contextlib import suppress

import pytest

from enforcer.config.model import Config
from enforcer.errors import Unavailable
from enforcer.orders import Orders
from enforcer.processes.proxy import proxy_worker, rules_of
from enforcer.proxy.door import Rules
from tests.policy.made import list_text
from tests.processes.site import Site, Work, free_port

NOBODY = "127.0.0.9"  # an allowed connection there is refused by the kernel
BOTH = list_text(["suffix: chat.test", f"cidr: {NOBODY}/32"])


@pytest.fixture
def port(site: Site) -> int:
    found = free_port()
    site.more["proxy"] = {"modes": [f"regular@127.0.0.1:{found}"], "workers": 1, "drain_s": 0}
    return found


@pytest.fixture
def proxied(site: Site, work: Work, monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.setattr("tests.processes.site.dns_worker", proxy_worker)
    return work


async def connect(port: int, name: str) -> bytes:
    """What a CONNECT is answered with."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"CONNECT {name}:9 HTTP/1.1\r\n\r\n".encode())
    answer = await reader.readline()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return answer


def test_it_judges_as_the_orders_say_and_again_when_they_change(
    site: Site, port: int, ordered: Orders, proxied: Work
) -> None:
    async def scene() -> None:
        await proxied.ready.wait()
        assert b" 403 " in await connect(port, "chat.test")
        assert b" 502 " in await connect(port, NOBODY)
        site.ban(BOTH)
        site.order(Orders(2, site.compile()))
        for _ in range(500):
            if b" 403 " in await connect(port, NOBODY):
                return
            await asyncio.sleep(0.01)
        pytest.fail("never banned")

    proxied.play(scene)


def test_an_address_that_is_taken_stops_the_start(site: Site, port: int, ordered: Orders, proxied: Work) -> None:
    async def scene() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
        async with server:
            with pytest.raises(Unavailable, match="cannot listen on TCP"):
                await proxy_worker(site.config, 0).run(lambda: None)

    asyncio.run(scene())


def test_rules_are_those_of_the_configuration(site: Site, port: int) -> None:
    site.more["proxy"] = {
        "modes": [f"regular@127.0.0.1:{port}"],
        "unknown": "refuse",
        "outside": "pass",
        "limits": {"connections": 7, "per_client": 3},
    }
    config: Config = site.config
    rules: Rules = rules_of(config)
    assert (rules.unknown, rules.outside, rules.name_clients, rules.intercept) == (False, True, True, False)
    assert (rules.clients_max, rules.per_client, rules.node) == (7, 3, config.node)
    assert [(realm.name, realm.ways) for realm in rules.realms] == [("lab", ())]
    assert rules.notice.en == config.policy.notice.en

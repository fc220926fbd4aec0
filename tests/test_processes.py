"""What processes are made of: from a configuration to what is compiled, bound and asked; and a worker at work."""

import asyncio
import gc
import json
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from enforcer.attempts.spool import Segment, segments
from enforcer.config.describe import show
from enforcer.config.load import load
from enforcer.config.model import Config
from enforcer.config.values import Endpoint, Upstream
from enforcer.errors import EnforcerError, Mistakes, Unavailable
from enforcer.folders import Folders
from enforcer.orders import GRANT_S, Grant, Orders, Pause, encode_orders
from enforcer.policy.compiled import PolicySettings
from enforcer.policy.rules import Answer, Evidence
from enforcer.policy.thirdparty import Format, Source
from enforcer.processes import (
    DnsWorker,
    bindings_of,
    compile_config,
    make_hub,
    manner_of,
    settings_of,
    source_of,
    udp_socket,
    upstreams_of,
    utc_now,
    wall_ms,
    workers_of,
)
from enforcer.resolver.upstream import Manner
from tests.policy.made import NOW, list_text
from tests.resolver.desk import a_query, attempts

type Values = dict[str, object]

CHAT = list_text(["suffix: chat.test"])
TALK = list_text(["suffix: talk.test"])


def free_port() -> int:
    """A port that nobody has on loopback, over UDP and TCP."""
    while True:
        with (
            suppress(OSError),
            socket.socket(type=socket.SOCK_DGRAM) as udp,
            socket.socket() as tcp,
        ):
            udp.bind(("127.0.0.1", 0))
            port = int(udp.getsockname()[1])
            tcp.bind(("127.0.0.1", port))
            return port


class Site:
    """A folder with a configuration and a list."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "enforcer.yaml"
        self.folders = Folders(folder / "data")
        self.port = free_port()
        self.ban(CHAT)
        self.resolver: Values = {
            "listeners": [{"name": "dns", "udp": f"127.0.0.1:{self.port}", "tcp": f"127.0.0.1:{self.port}"}],
            "upstreams": ["udp://127.0.0.1:9"],  # nobody is there
            "timeouts": {"attempt_s": 0.1, "query_s": 0.2},
            "workers": 2,
        }
        self.policy: Values = {
            "lists": ["chat.yaml"],
            "ban": "ban-1",
            "notice": {"monitoring_notice_acknowledged": True},
        }
        self.more: Values = {}

    def ban(self, text: str) -> None:
        (self.folder / "chat.yaml").write_text(text)

    @property
    def config(self) -> Config:
        values: Values = {
            "data_dir": "data",
            "policy": self.policy,
            "realms": [{"name": "lab", "networks": ["127.0.0.0/24"], "listeners": ["dns"]}],
            "resolver": self.resolver,
            **self.more,
        }
        self.path.write_text(json.dumps(values))
        return load(self.path)

    def compile(self) -> str:
        """The policy's file name."""
        return compile_config(self.path, self.config, NOW).sha256

    def wrong(self) -> list[str]:
        """The mistakes that compiling finds, each with its file and line."""
        with pytest.raises(Mistakes) as error:
            self.compile()
        return [str(mistake).removeprefix(f"{self.folder}/") for mistake in error.value.mistakes]

    def order(self, orders: Orders | bytes) -> None:
        """What the hub writes, as it does."""
        config = self.config
        for path, content in (
            (self.folders.accepted, show(config).encode()),
            (self.folders.orders, orders if isinstance(orders, bytes) else encode_orders(orders)),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name("fresh")
            fresh.write_bytes(content)
            fresh.replace(path)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# From the configuration


def test_the_clock_is_in_utc_and_the_same_in_both_forms() -> None:
    before = wall_ms()
    now = utc_now()
    assert now.tzinfo is UTC
    assert before <= now.timestamp() * 1000 < before + 60_000


@pytest.mark.parametrize(("workers", "expected"), [(3, 3), ("auto", len(os.sched_getaffinity(0))), (1, 1)])
def test_workers_are_as_many_as_configured_else_one_a_cpu(site: Site, workers: int | str, expected: int) -> None:
    site.resolver["workers"] = workers
    assert workers_of(site.config) == expected


def test_upstreams_are_as_configured(site: Site) -> None:
    site.resolver["upstreams"] = ["udp://192.0.2.1", "udp://[2001:db8::1]:5353"]
    assert upstreams_of(site.config) == (Upstream(ip_address("192.0.2.1")), Upstream(ip_address("2001:db8::1"), 5353))


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:5300", ("127.0.0.1", "127.0.0.53", "192.0.2.7", "::1")),
        ("127.0.0.1:53", ("127.0.0.53", "192.0.2.7", "::1")),
        ("0.0.0.0:53", ("192.0.2.7", "::1")),
        ("[::1]:53", ("127.0.0.1", "127.0.0.53", "192.0.2.7")),
        ("192.0.2.7:53", ("127.0.0.1", "127.0.0.53", "::1")),
    ],
)
def test_auto_asks_the_name_servers_of_this_machine_but_never_ourselves(
    site: Site, listen: str, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = site.folder / "resolv.conf"
    conf.write_text(
        "search corp.test\nnameserver 127.0.0.1\nnameserver 127.0.0.53\nnameserver x\nnameserver 192.0.2.7\n"
        "nameserver ::1\n"
    )
    monkeypatch.setattr("enforcer.processes.RESOLV_CONF", conf)
    site.resolver |= {"upstreams": "auto", "listeners": [{"name": "dns", "udp": listen, "tcp": listen}]}
    assert upstreams_of(site.config) == tuple(Upstream(ip_address(address)) for address in expected)


@pytest.mark.parametrize("content", [None, b"", b"nameserver 127.0.0.1\n", b"nameserver \xff\n"])
def test_auto_without_a_name_server_asks_nobody(
    site: Site, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = site.folder / "resolv.conf"
    if content is not None:
        conf.write_bytes(content)
    monkeypatch.setattr("enforcer.processes.RESOLV_CONF", conf)
    site.resolver |= {"upstreams": "auto", "listeners": [{"name": "dns", "udp": "127.0.0.1:53", "tcp": "127.0.0.1:53"}]}
    assert upstreams_of(site.config) == ()


def test_what_judging_needs_is_taken_from_the_configuration(site: Site) -> None:
    site.resolver |= {"answer": "nodata", "nat64": [], "upstreams": ["udp://192.0.2.1:5353"]}
    expected = PolicySettings(answer=Answer.NODATA, ban="ban-1", nat64=(), upstreams=("192.0.2.1",))
    settings = settings_of(site.config)
    assert replace(settings, upstreams=tuple(map(str, settings.upstreams))) == expected


@pytest.mark.parametrize(("strategy", "fastest"), [("fastest", True), ("ordered", False)])
def test_how_upstreams_are_asked_is_taken_from_the_configuration(site: Site, strategy: str, fastest: bool) -> None:
    site.resolver["strategy"] = strategy
    assert manner_of(site.config) == Manner(fastest, 0.1, 0.2)


def test_a_third_party_list_is_named_by_its_file_unless_it_has_a_name(site: Site) -> None:
    (site.folder / "ads.txt").write_text("ads.test\n")
    written: Values = {"file": "ads.txt", "service": "ads"}
    full = {**written, "name": "mine", "part": "p", "evidence": "app", "max_bad_lines": 7, "format": "hosts"}
    site.policy["third_party"] = [written, full]
    file = str(site.folder / "ads.txt")
    assert [source_of(each) for each in site.config.policy.third_party] == [
        Source("ads", file, "ads", part="listed", evidence=Evidence.SHARED, max_bad_lines=100),
        Source("mine", file, "ads", part="p", evidence=Evidence.APP, format=Format.HOSTS, max_bad_lines=7),
    ]


def test_devices_are_those_of_the_inventory_and_none_without_one(site: Site) -> None:
    assert bindings_of(site.config) == ()
    (site.folder / "devices.csv").write_text("id,group,addresses\nphone,field,127.0.0.1\n")
    site.more["identity"] = {"inventory": {"file": "devices.csv"}}
    assert [(each.realm, each.device, str(each.network)) for each in bindings_of(site.config)] == [
        ("lab", "phone", "127.0.0.1/32")
    ]


# Compiling


def test_what_is_compiled_is_in_the_policy_folder_under_its_name(site: Site) -> None:
    compiled = compile_config(site.path, site.config, NOW)
    assert (site.folders.policy / compiled.sha256).is_file()
    assert compiled.services == ("chat",)
    assert sum(compiled.rules.values()) == 1


def test_every_mistake_of_every_list_is_reported_at_once(site: Site) -> None:
    (site.folder / "more.yaml").write_text(list_text(["suffix: a..test", "cidr: 192.0.2.1/24"], service="more"))
    site.ban(list_text(["suffix: 'chat,test'"]))
    site.policy |= {
        "lists": ["chat.yaml", "more.yaml"],
        "third_party": [{"file": "missing.txt", "service": "ads"}],
    }
    assert [mistake.split(": ")[0] for mistake in site.wrong()] == [
        "chat.yaml:8",
        "more.yaml:8",
        "more.yaml:9",
        "missing.txt",
    ]


def test_an_exemption_of_a_service_that_nothing_bans_is_a_mistake_with_its_line(site: Site) -> None:
    site.policy["exemptions"] = [
        {"group": "lab", "services": ["chta"], "until": "2027-01-01", "reason": "a test", "approved_by": "a tester"}
    ]
    (wrong,) = site.wrong()
    assert wrong.startswith("enforcer.yaml:1: policy.exemptions[0].services[0]: ")
    assert 'did you mean "chat"?' in wrong


def test_a_policy_that_does_not_do_what_its_lists_say_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enforcer.processes.self_test", lambda _: ["chat.test is allowed"])
    assert site.wrong() == ["enforcer.yaml: self-test: chat.test is allowed"]


def test_a_warning_of_a_list_is_logged_and_stops_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    (site.folder / "ads.txt").write_text("ads.test\n")
    site.policy["third_party"] = [{"file": "ads.txt", "service": "ads", "format": "domains"}]
    site.compile()
    assert "list event=warning" not in caplog.text
    (site.folder / "ads.txt").write_text("! nothing\n")
    site.compile()
    assert "list event=warning" in caplog.text


def test_a_list_that_answers_with_a_sinkhole_needs_its_address(site: Site) -> None:
    site.ban(list_text(["suffix: chat.test"], more="answer: sinkhole"))
    assert site.wrong() == [
        'chat.yaml: answer "sinkhole" has no address to give; write resolver.sinkhole in enforcer.yaml'
    ]
    site.resolver["sinkhole"] = ["192.0.2.80"]
    assert site.compile()


def test_a_hub_of_a_configuration_with_mistakes_is_not_made(site: Site) -> None:
    site.path.write_text("nodes: 3\n")
    with pytest.raises(Mistakes, match="nodes"):
        make_hub(site.path)


def test_a_hub_has_compiled_its_policy_when_it_is_made(site: Site) -> None:
    assert site.config.node == make_hub(site.path).config.node
    assert len(list(site.folders.policy.glob("?" * 64))) == 1


# Sockets


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_workers_share_one_udp_address(host: str) -> None:
    with udp_socket(Endpoint(ip_address(host), 0)) as first:
        port = first.getsockname()[1]
        with udp_socket(Endpoint(ip_address(host), port)) as second:
            assert first.getsockname()[:2] == second.getsockname()[:2] == (host, port)
            assert not first.getblocking()


def test_an_ipv6_socket_leaves_ipv4_to_another() -> None:
    with udp_socket(Endpoint(ip_address("::"), 0)) as six:
        port = six.getsockname()[1]
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        with udp_socket(Endpoint(ip_address("0.0.0.0"), port)) as four:
            assert four.getsockname() == ("0.0.0.0", port)


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1"), ("::1", r"\[::1\]")])
def test_an_address_that_somebody_has_is_said(host: str, text: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((host, 0))
        port = other.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"{text}:{port}: cannot listen on UDP \(Address already in use\)"):
            udp_socket(Endpoint(ip_address(host), port))


def test_an_address_that_is_not_ours_is_said() -> None:
    with pytest.raises(Unavailable, match=r"192.0.2.1:5300: cannot listen on UDP \(Cannot assign requested address\)"):
        udp_socket(Endpoint(ip_address("192.0.2.1"), 5300))


# A worker


class Work:
    """A worker of a site, in this process, while a scene is played."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.ready = asyncio.Event()

    def play(self, scene: Callable[[], Awaitable[None]]) -> None:
        """Run the worker beside the scene; then stop it with SIGTERM."""

        async def play() -> None:
            worker = asyncio.create_task(DnsWorker(self.site.config, 0).run(self.ready.set))
            try:
                playing = asyncio.ensure_future(scene())
                await asyncio.wait((worker, playing), return_when=asyncio.FIRST_COMPLETED)
                if worker.done():
                    playing.cancel()
                    await worker
                    raise AssertionError("the worker ended before the scene")
                await playing
            finally:
                if not worker.done():
                    os.kill(os.getpid(), signal.SIGTERM)
                await worker

        asyncio.run(play())

    async def ask(self, name: str, *, stream: bool = False) -> dns.message.Message:
        """Ask the worker, over UDP or TCP."""
        at = ("127.0.0.1", self.site.port)
        query = a_query(name, edns=True)
        return dns.message.from_wire(await asyncio.to_thread(_over_tcp if stream else _over_udp, at, query))

    async def blocked(self, name: str) -> bool:
        """Whether policy answers; other names are SERVFAIL, since no upstream is there."""
        rcode = (await self.ask(name)).rcode()
        assert rcode in (dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL)
        return rcode == dns.rcode.NXDOMAIN

    async def becomes(self, name: str, *, blocked: bool) -> None:
        """Wait until it is."""
        for _ in range(500):
            if await self.blocked(name) is blocked:
                return
            await asyncio.sleep(0.02)
        pytest.fail(f"{name} is still otherwise")


async def until_logged(caplog: pytest.LogCaptureFixture, event: str) -> None:
    """Wait until a line with this in it is logged."""
    for _ in range(1000):
        if event in caplog.text:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"never logged: {event}")


def _over_udp(at: tuple[str, int], query: bytes) -> bytes:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.sendto(query, at)
        return sock.recv(4096)


def _over_tcp(at: tuple[str, int], query: bytes) -> bytes:
    with socket.create_connection(at, 20) as sock, sock.makefile("rb") as file:
        sock.sendall(len(query).to_bytes(2) + query)
        return file.read(int.from_bytes(file.read(2)))


@pytest.fixture
def work(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    monkeypatch.setattr("enforcer.processes.ORDERS_S", 0.02)
    monkeypatch.setattr("enforcer.processes.DRAIN_S", 0.0)
    yield Work(site)
    gc.unfreeze()


@pytest.fixture
def ordered(site: Site, work: Work) -> Orders:
    """Orders in force before the worker starts."""
    orders = Orders(1, site.compile())
    site.order(orders)
    return orders


def test_a_worker_blocks_over_udp_and_tcp_and_leaves_its_record_sealed(work: Work, site: Site, ordered: Orders) -> None:
    async def scene() -> None:
        await work.ready.wait()
        for stream in (False, True):
            answer = await work.ask("a.chat.test", stream=stream)
            assert answer.rcode() == dns.rcode.NXDOMAIN
            assert [option.code for option in answer.extended_errors()] == [15]
        assert not await work.blocked("www.ok.test")

    work.play(scene)
    folder = site.folders.spool / "dns-0"
    found = [(count, entry.block.name, entry.client_ip) for count, entry in attempts(folder)]
    assert sum(count for count, _, _ in found) == 2
    assert {(name, ip) for _, name, ip in found} == {("a.chat.test", "127.0.0.1")}
    (path,) = (path for _, path in segments(folder))
    segment = Segment(path)
    assert segment.finished()
    segment.close()


def test_a_worker_waits_for_its_first_orders_and_answers_nobody_before(
    work: Work, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scene() -> None:
        await until_logged(caplog, "event=no_orders")
        assert not work.ready.is_set()
        with pytest.raises(ConnectionRefusedError):
            await work.ask("a.chat.test", stream=True)
        site.order(Orders(1, site.compile()))
        await work.ready.wait()
        assert await work.blocked("a.chat.test")

    work.play(scene)


def test_a_worker_that_waits_can_be_stopped(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def scene() -> None:
        await until_logged(caplog, "event=no_orders")

    work.play(scene)
    assert not work.ready.is_set()


def test_a_new_policy_is_in_force_without_a_restart(work: Work, site: Site, ordered: Orders) -> None:
    async def scene() -> None:
        await work.ready.wait()
        assert not await work.blocked("a.talk.test")
        site.ban(TALK)
        site.order(replace(ordered, generation=2, policy=site.compile()))
        await work.becomes("a.talk.test", blocked=True)
        assert not await work.blocked("a.chat.test")

    work.play(scene)


def test_a_pause_and_a_grant_let_a_client_through_while_they_last(work: Work, site: Site, ordered: Orders) -> None:
    async def scene() -> None:
        await work.ready.wait()
        until = datetime.fromtimestamp(wall_ms() // 1000 + GRANT_S, UTC)
        for orders in (
            replace(ordered, pauses=(Pause("lab", until),)),
            replace(ordered, grants=(Grant("lab", ip_address("127.0.0.1"), ("chat",), until),)),
        ):
            site.order(orders)
            await work.becomes("a.chat.test", blocked=False)
            site.order(ordered)
            await work.becomes("a.chat.test", blocked=True)

    work.play(scene)


def test_orders_are_followed_though_they_came_in_the_same_moment_as_the_last(
    work: Work, site: Site, ordered: Orders
) -> None:
    """A clock tick of the kernel can hold two writes."""

    async def scene() -> None:
        await work.ready.wait()
        at = site.folders.orders.stat().st_mtime_ns
        site.ban(TALK)
        new = encode_orders(replace(ordered, generation=2, policy=site.compile()))
        fresh = site.folders.run / "new"
        fresh.write_bytes(new)
        os.utime(fresh, ns=(at, at))
        fresh.replace(site.folders.orders)
        await work.becomes("a.talk.test", blocked=True)

    work.play(scene)


@pytest.mark.parametrize("unusable", [b"", b"{}", b"\xff", None], ids=["empty", "nothing", "no-text", "no-policy"])
def test_unusable_orders_are_said_once_and_the_old_ones_stay(
    work: Work, site: Site, ordered: Orders, unusable: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        await work.ready.wait()
        site.order(Orders(2, "0" * 64) if unusable is None else unusable)
        await until_logged(caplog, "orders event=unusable")
        assert await work.blocked("a.chat.test")
        assert await work.blocked("b.chat.test")
        await asyncio.sleep(0.1)  # some more looks at the same file
        assert caplog.text.count("event=unusable") == 1
        site.ban(TALK)
        site.order(Orders(3, site.compile()))
        await work.becomes("a.talk.test", blocked=True)

    work.play(scene)


def test_orders_that_are_gone_leave_the_old_ones_in_force(work: Work, site: Site, ordered: Orders) -> None:
    async def scene() -> None:
        await work.ready.wait()
        site.folders.orders.unlink()
        await asyncio.sleep(0.1)
        assert await work.blocked("a.chat.test")

    work.play(scene)


def test_a_udp_address_that_somebody_has_ends_the_worker_with_its_name(work: Work, site: Site) -> None:
    async def scene() -> None:
        await asyncio.sleep(30)

    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", site.port))
        with pytest.raises(Unavailable, match=f"127.0.0.1:{site.port}: cannot listen on UDP"):
            work.play(scene)


def test_a_tcp_address_that_somebody_has_ends_the_worker_with_its_name(work: Work, site: Site, ordered: Orders) -> None:
    async def scene() -> None:
        await asyncio.sleep(30)

    with (
        socket.create_server(("127.0.0.1", site.port)),
        pytest.raises(EnforcerError, match=f"127.0.0.1:{site.port}: cannot listen on TCP"),
    ):
        work.play(scene)
    assert not work.ready.is_set()


def test_a_list_that_is_being_replaced_does_not_keep_new_orders_from_a_worker(
    work: Work, site: Site, ordered: Orders
) -> None:
    async def scene() -> None:
        await work.ready.wait()
        site.ban(TALK)
        site.order(replace(ordered, generation=2, policy=site.compile()))
        (site.folder / "chat.yaml").unlink()
        await work.becomes("a.talk.test", blocked=True)

    work.play(scene)

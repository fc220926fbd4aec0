"""Plays a scenario: what lists and upstream say, what a device asks, what it gets, what is recorded, who was asked.

A scenario is a document in a YAML file of this folder. Its steps are played one after the other; a step that asks says
all that comes of it: nothing else may be recorded, and upstream may be asked nothing else.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Literal

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import yaml
from pydantic import BaseModel, ConfigDict, Field

from enforcer.counters import Transport
from enforcer.decide.cookies import Cookies
from enforcer.decide.dns import Ech
from enforcer.decide.local import LocalRecords, parse_record
from enforcer.orders import Grant, Pause
from enforcer.policy.judge import Policy
from enforcer.policy.rules import Mode
from enforcer.resolver.upstream import Failure
from tests.policy.made import NOW, a_list, a_policy
from tests.resolver.desk import MANNERS, PHONE, Desk

FOLDER = Path(__file__).parent
TRANSPORTS = {"udp": Transport.UDP, "tcp": Transport.TCP, "dot": Transport.DOT, "doh": Transport.DOH}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class List(_Model):
    """One block list. never: what its `never_block` has. more: lines of its head, as in `answer: nodata`."""

    rules: list[str]
    service: str = "chat"
    never: list[str] = []
    more: str = ""


class Get(_Model):
    """What a client gets. answer: the records of the answer section. soa: who owns the SOA record, which has `soa_ttl`.

    flags: of tc, ad and aa those that are set. size: the most octets.
    """

    rcode: str = "NOERROR"
    answer: list[str] = []
    soa: str | None = None
    ede: list[int] = []
    flags: list[str] = []
    question: str | None = None
    size: int = 65_535
    cookie: bool = False


class Step(_Model):
    """One thing that happens. Of the first group one a step."""

    ask: str | None = None
    raw: str | None = None
    lists: list[List] | None = None
    wait_s: float | None = None
    pause_s: int | None = None
    grant_s: int | None = None
    upstream: dict[str, list[str]] | None = None
    fails: Literal["silent", "refused", "unreachable", "no"] | None = None

    client: str = PHONE
    over: Literal["udp", "tcp", "dot", "doh"] = "udp"
    edns: bool = True
    payload: int = 1232
    do: bool = False
    cd: bool = False
    options: list[str] = []
    shown: str | None = None

    gets: Get | Literal["nothing"] = Field(Get(), validate_default=True)
    records: list[str] = []
    asks: list[str] = []


class Scenario(_Model):
    """about: the behaviour, and whose test has it too."""

    about: str
    lists: list[List]
    mode: Literal["enforce", "monitor"] = "enforce"
    ech: Literal["pass", "strip", "drop_https"] = "strip"
    sinkhole: list[str] = []
    local: list[str] = []
    forwarders: list[str] = []
    cookies: bool = False
    serve_stale: bool = False
    upstream: dict[str, list[str]] = {}
    steps: list[Step]


def scenarios() -> Iterator[tuple[str, Scenario]]:
    """Every scenario of every file, with its name: the file's and its place in it."""
    for path in sorted(FOLDER.glob("*.yaml")):
        for number, document in enumerate(yaml.safe_load_all(path.read_text(encoding="utf-8")), 1):
            yield f"{path.stem}-{number}", Scenario.model_validate(document)


def policy(lists: list[List]) -> Policy:
    """The lists, compiled; the first is called `own0`, its service is in the record."""
    made = [
        a_list(*each.rules, service=each.service, never_block=tuple(each.never), more=each.more, name=f"own{number}")
        for number, each in enumerate(lists)
    ]
    return a_policy(*made)


class Play:
    """A scenario under way."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.desk = Desk(
            folder,
            policy(scenario.lists),
            mode=Mode(scenario.mode),
            ech=Ech(scenario.ech),
            manners=replace(MANNERS, sinkhole=tuple(map(ip_address, scenario.sinkhole))),
            local=tuple(scenario.local),
            serve_stale=scenario.serve_stale,
        )
        self.desk.upstreams.zone = zone(scenario.upstream)
        self.desk.conduct = replace(
            self.desk.conduct,
            local=LocalRecords(map(parse_record, scenario.local)),
            cookies=Cookies((bytes(16),)) if scenario.cookies else None,
            forwarders=tuple(map(ip_network, scenario.forwarders)),
            device_options=(65001, 65074),
        )
        self.desk.follow(policy(scenario.lists))

    def run(self) -> None:
        """Play every step."""
        for number, step in enumerate(self.scenario.steps, 1):
            if step.ask is not None or step.raw is not None:
                self._ask(step, f"step {number}: {step.ask or step.raw}")
            else:
                self._happen(step)

    def _happen(self, step: Step) -> None:
        desk = self.desk
        if step.lists is not None:
            desk.follow(policy(step.lists))
        if step.wait_s is not None:
            desk.hands.pass_s(step.wait_s)
        now = NOW + timedelta(milliseconds=desk.hands.ms - desk.hands.start)
        if step.pause_s is not None:
            desk.order(pauses=(Pause("lab", now + timedelta(seconds=step.pause_s)),))
        if step.grant_s is not None:
            until = now + timedelta(seconds=step.grant_s)
            desk.order(grants=(Grant("lab", ip_address(step.client), ("chat",), until),))
        if step.upstream is not None:
            desk.upstreams.zone = {**desk.upstreams.zone, **zone(step.upstream)}
        if step.fails is not None:
            desk.upstreams.fails = None if step.fails == "no" else Failure[step.fails.upper()]

    def _ask(self, step: Step, where: str) -> None:
        desk = self.desk
        before, asked = self._recorded(), len(desk.upstreams.asked)
        wire = query(step) if step.raw is None else bytes.fromhex(step.raw)
        reply = desk.ask(wire, step.client, transport=TRANSPORTS[step.over], shown=step.shown)
        if step.gets == "nothing":
            assert reply is None, where
        else:
            assert reply is not None, f"{where}: no answer"
            assert got(reply, step.gets) == step.gets, where
        assert sorted((self._recorded() - before).elements()) == sorted(step.records), where
        assert desk.upstreams.asked[asked:] == step.asks, where

    def _recorded(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for count, entry in self.desk.attempts():
            block = entry.block
            words = [block.action.value, entry.client_ip or "-", block.name or "-", block.qtype or "-", block.service]
            words += [f"via {block.via}"] if block.via else []
            words += [entry.shown] if entry.shown else []
            found[" ".join(words)] += count
        return found

    def close(self) -> None:
        """Let go of the files."""
        self.desk.close()


def zone(written: dict[str, list[str]]) -> dict[tuple[str, str], list[str]]:
    """What upstream knows, by name and type."""
    return {(key.split()[0], key.split()[1]): records for key, records in written.items()}


def query(step: Step) -> bytes:
    """The octets of a question, `NAME TYPE`."""
    name, rtype = (step.ask or "").split()
    asked = dns.message.make_query(name, rtype, id=7)
    if step.edns:
        options = [option.split(":") for option in step.options]
        asked.use_edns(
            payload=step.payload,
            options=[
                dns.edns.GenericOption(dns.edns.OptionType.make(int(code)), bytes.fromhex(data))
                for code, data in options
            ],
        )
        asked.want_dnssec(step.do)
    if step.cd:
        asked.flags |= dns.flags.CD
    return asked.to_wire()


def got(reply: bytes, wanted: Get) -> Get:
    """A reply in the words of a scenario."""
    message = dns.message.from_wire(reply, ignore_trailing=False)
    assert message.flags & dns.flags.QR
    assert message.flags & dns.flags.RA
    soas = [rrset.name.to_text(omit_final_dot=True) for rrset in message.authority if rrset.rdtype == dns.rdatatype.SOA]
    flags = {"tc": dns.flags.TC, "ad": dns.flags.AD, "aa": dns.flags.AA}
    return Get(
        rcode=dns.rcode.to_text(message.rcode()),
        answer=[line for rrset in message.answer for line in rrset.to_text().splitlines()],
        soa=soas[0] if soas else None,
        ede=[int(option.code) for option in message.options if isinstance(option, dns.edns.EDEOption)],
        flags=[word for word, flag in flags.items() if message.flags & flag],
        question=wanted.question and message.question[0].to_text(),
        size=max(wanted.size, len(reply)),
        cookie=any(option.otype == dns.edns.OptionType.COOKIE for option in message.options),
    )

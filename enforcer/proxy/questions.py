"""Questions of DNS that come through mitmproxy, decided as the resolver decides them."""

from enforcer.attempts.block import Block, Response
from enforcer.decide.dns import Ask, Outcome, Reply, begin, fitted, judge_answer, outside, refused, screen
from enforcer.errors import Malformed
from enforcer.policy.rules import Transport
from enforcer.policy.verdict import Action, Client, Layer
from enforcer.proxy.door import Door, Flow
from enforcer.wire import dns
from enforcer.wire.dnscodes import rcode_name, type_name


def ask(door: Door, flow: Flow, wire: bytes) -> bytes | None:
    """The answer that a question gets here; None: it may be asked elsewhere.

    Raises Malformed for what is no query, and LookupError while no policy is in force: nobody may ask then.
    """
    query = screen(wire)
    if isinstance(query, Reply):
        return query.wire
    if query is None:
        raise Malformed("message: no query")
    client = door.client(flow)
    if client is None:
        return None if door.rules.outside else outside(query).wire
    if door.rules.manners is None:
        raise LookupError("no manners")
    step = begin(query, client, door.policy, door.now(), door.rules.manners)
    if isinstance(step, Ask):
        if step.observed is not None:
            _record(door, flow, client, query, Reply(b"", Outcome.OBSERVED, step.observed))
        return None
    _record(door, flow, client, query, step)
    return fitted(step.wire, query, stream=flow.transport is Transport.TCP)


def answer(door: Door, flow: Flow, asked: bytes, wire: bytes) -> bytes | None:
    """What a client gets in place of an answer that leads to something banned; None: the answer itself.

    Raises Malformed for what is no answer.
    """
    query, client = screen(asked), door.client(flow)
    if client is None:
        return None
    if not isinstance(query, dns.Query) or door.rules.manners is None:
        raise Malformed("message: no query")
    response = dns.read_response(wire)
    found = judge_answer(wire, response, client, door.policy, door.now())
    if found is None:
        return None
    if found.verdict.action is Action.OBSERVE:
        _record(door, flow, client, query, Reply(wire, Outcome.OBSERVED, found.verdict, via=found.via))
        return None
    reply = refused(query, wire, response, found, door.rules.manners)
    _record(door, flow, client, query, reply)
    return fitted(reply.wire, query, stream=flow.transport is Transport.TCP)


def _record(door: Door, flow: Flow, client: Client, query: dns.Query, reply: Reply) -> None:
    if reply.verdict is None:
        return
    block = Block.of(
        reply.verdict,
        ruleset=door.policy.ruleset,
        layer=Layer.DNS,
        name=query.qname,
        qtype=type_name(query.qtype),
        via=reply.via,
        response=Response(reply.answer.value),
        rcode=rcode_name(reply.wire[3] & 0xF if reply.wire else 0),
        ede=reply.ede,
        transport=flow.transport.value,
        realm=client.realm,
    )
    if block is not None:
        door.write(flow, block)

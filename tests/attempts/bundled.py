"""A compiled policy, and its name, for what must name one."""

from datetime import date
from hashlib import sha256

from enforcer.policy.compiled import PolicySettings, compile_policy
from enforcer.policy.lists import read_list
from tests.cli.site import LIST


def compiled_policy() -> tuple[str, bytes]:
    data = compile_policy([read_list(LIST, "chat.yaml", date(2026, 11, 23))], (), PolicySettings())
    return sha256(data).hexdigest(), data

from collections.abc import Callable

from enforcer.config.model import Config

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]


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

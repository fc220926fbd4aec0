from collections.abc import Callable

from enforcer.config.model import Config

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]


def test_what_need_not_be_written_has_these_defaults(configured: Configured) -> None:
    assert configured({}).metrics.model_dump() == {"listen": "127.0.0.1:9310", "devices": 50, "probe_s": 60}

from collections.abc import Callable

from enforcer.config.attempts import Index
from enforcer.config.model import Config

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]


def test_what_need_not_be_written_has_these_defaults(configured: Configured) -> None:
    assert configured({}).attempts.model_dump() == {
        "aggregate_s": 60.0,
        "fsync_s": 1.0,
        "spool_max": "2GB",
        "index": Index.SQLITE,
    }

from collections.abc import Callable

import pytest

from enforcer.config.model import Config
from enforcer.errors import Mistakes

type Changes = dict[str, object]
type Configured = Callable[[Changes], Config]


def test_what_need_not_be_written_has_these_defaults(configured: Configured) -> None:
    assert configured({}).attempts.model_dump() == {
        "aggregate_s": 60.0,
        "fsync_s": 1.0,
        "spool_max": "2GB",
        "checkpoint_s": 300.0,
        "signing_key": None,
        "retention_days": 365,
        "index": "sqlite",
        "sinks": (),
    }


@pytest.mark.parametrize(("written", "days"), [("year", 365), ("two-years", 731), (90, 90), ("30", 30)])
def test_records_are_kept_for_days_or_by_a_preset(configured: Configured, written: object, days: int) -> None:
    assert configured({"attempts.retention_days": written}).attempts.retention_days == days


@pytest.mark.parametrize("written", ["for ever", 0, -1, 36_501, True, "1.5"])
def test_no_other_time_to_keep_records(configured: Configured, written: object) -> None:
    with pytest.raises(Mistakes, match="is no time to keep records; write days, or half-year, year"):
        configured({"attempts.retention_days": written})


def test_an_index_is_sqlite_or_a_database_without_its_password(configured: Configured) -> None:
    url = "postgresql://enforcer@db.example/enforcer?passfile=/etc/enforcer/pgpass"
    assert configured({"attempts.index": url}).attempts.index == url


@pytest.mark.parametrize("written", ["postgresql://enforcer:s3cret@db/x", "postgresql://db/x?password=s3cret"])
def test_a_password_in_the_url_is_refused_and_not_printed(configured: Configured, written: str) -> None:
    with pytest.raises(Mistakes, match="a URL holds no secret here") as caught:
        configured({"attempts.index": written})
    assert "s3cret" not in str(caught.value)


def test_the_process_of_the_sinks_is_there_when_there_is_one(configured: Configured) -> None:
    assert not configured({}).attempts.ships
    assert configured({"attempts.sinks": [{"type": "file", "path": "x"}]}).attempts.ships

from datetime import timedelta

import pytest

from enforcer.console.pages.common import days_left, series_of, standing
from enforcer.orders import Orders, Pause, encode_orders
from tests.console.lab import Lab
from tests.records import NOON_MS, moment

NOON = moment(NOON_MS)


@pytest.mark.parametrize(("hours", "days"), [(-1, 0), (0, 0), (1, 1), (24, 1), (25, 2), (24 * 30, 30)])
def test_a_begun_day_is_a_day(hours: int, days: int) -> None:
    assert days_left(NOON + timedelta(hours=hours), NOON) == days


def test_services_keep_their_colours() -> None:
    assert series_of({"wechat", "bypass", "kaspersky"}) == ["kaspersky", "wechat", "bypass"]


def test_whether_the_ban_is_in_force_is_what_workers_follow(lab: Lab) -> None:
    assert standing(lab.site).enforced
    orders = lab.site.policies.orders()
    pause = Pause("lab", lab.now[0] + timedelta(minutes=5))
    path = lab.config.data_dir / "run" / "orders"
    path.write_bytes(encode_orders(Orders(2, orders.policy, (pause,))))
    said = standing(lab.site)
    assert (said.enforced, said.pauses) == (False, (pause,))
    assert "Realm lab is paused until" in lab.client().get("/").text
    lab.pass_time(minutes=6)
    assert standing(lab.site).enforced
    path.write_bytes(b"nonsense")
    assert standing(lab.site).trouble is not None
    assert "It is not known whether" in lab.client().get("/").text


def test_before_users_were_told_the_page_says_so(lab: Lab) -> None:
    assert not standing(lab.site).acknowledged
    assert "Devices and addresses are not recorded." in lab.client().get("/").text

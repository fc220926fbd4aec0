import asyncio
import logging
import os
from dataclasses import replace

import pytest

from enforcer.orders import Orders, encode_orders
from tests.processes.site import TALK, Site, Work, until_logged


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

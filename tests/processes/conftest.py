import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.orders import Orders
from tests.processes.site import Site, Work


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def work(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    monkeypatch.setattr("enforcer.processes.worker.ORDERS_S", 0.02)
    monkeypatch.setattr("enforcer.processes.dns.DRAIN_S", 0.0)
    yield Work(site)
    gc.unfreeze()


@pytest.fixture
def ordered(site: Site, work: Work) -> Orders:
    """Orders in force before the worker starts."""
    orders = Orders(1, site.compile())
    site.order(orders)
    return orders

from dataclasses import FrozenInstanceError

import pytest

from enforcer.resolver.conduct import Conduct
from tests.resolver.desk import MANNERS


def test_by_default_nobody_is_believed_and_nothing_is_asked_for_that_nobody_asked() -> None:
    conduct = Conduct(MANNERS, drop_outside=False, name_clients=False, max_ttl=60)
    assert conduct.cookies is None
    assert (conduct.forwarders, conduct.device_options) == ((), ())
    assert not conduct.prefetch


def test_a_reload_swaps_it_whole() -> None:
    conduct = Conduct(MANNERS, drop_outside=False, name_clients=False, max_ttl=60)
    with pytest.raises(FrozenInstanceError):
        conduct.max_ttl = 1  # type: ignore[misc]

import asyncio
from pathlib import Path

import pytest
from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.exceptions import OptionsError
from mitmproxy.test import taddons

from enforcer.errors import Unavailable
from enforcer.proxy.script import Guest, Script
from tests.proxy.playbook import Site


def test_it_sets_what_a_gate_must_have_and_follows_the_hub_until_the_end(site: Site) -> None:
    begun: list[tuple[Path, int]] = []
    worked = asyncio.Event()

    async def work() -> None:
        worked.set()

    def begin(path: Path, number: int) -> Guest:
        begun.append((path, number))
        return Guest(site.door, 7200, work)

    async def scene() -> None:
        script = Script(begin)
        with taddons.context(script, loadcore=True) as context:
            context.master.addons.add(Proxyserver())
            context.configure(script, enforcer_config="/etc/other.yaml", enforcer_worker=7)
            assert ctx.options.connection_strategy == "lazy"
            assert ctx.options.tcp_timeout == 7200
            context.configure(script, connection_strategy="eager")
            assert ctx.options.connection_strategy == "lazy"
            script.running()
            await worked.wait()
            await context.master.should_exit.wait()

    asyncio.run(scene())
    assert len(begun) == 1


def test_a_configuration_that_cannot_be_used_is_an_error_of_the_option() -> None:
    def begin(path: Path, number: int) -> Guest:
        raise Unavailable("x: cannot be read")

    async def scene() -> None:
        script = Script(begin)
        with taddons.context() as context:
            context.master.addons.register(script)
            with pytest.raises(OptionsError, match="cannot be read"):
                script.configure(set())

    asyncio.run(scene())


def test_when_it_cannot_follow_the_hub_mitmproxy_ends(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise RuntimeError("secret")

    async def scene() -> None:
        script = Script(lambda path, number: Guest(site.door, 7200, work))
        with taddons.context(script) as context:
            script.configure(set())
            script.running()
            await context.master.should_exit.wait()

    asyncio.run(scene())
    assert "error=RuntimeError" in caplog.text
    assert "secret" not in caplog.text

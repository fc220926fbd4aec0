"""A browser on the phone, behind the gate."""

from pathlib import Path

import pytest

from tests.e2e.lab import SITE, SITE6, Lab
from tests.e2e.test_gateway import BANNED, FINE
from tests.tools import chromium


def browse(lab: Lab, folder: Path, name: str, address: str) -> str:
    """What the browser shows of a name that it finds at an address."""
    at = f"[{address}]" if ":" in address else address
    return lab.phone.run(
        *chromium(folder),
        f"--host-resolver-rules=MAP {name} {at}, MAP * ~NOTFOUND",
        "--dump-dom",
        f"https://{name}/",
    )


@pytest.mark.parametrize("address", [SITE, SITE6])
def test_a_browser_loads_what_is_allowed_and_says_at_once_why_it_does_not_load_the_rest(
    lab: Lab, tmp_path: Path, address: str
) -> None:
    assert "hello" in browse(lab, tmp_path / "fine", FINE, address)
    shown = browse(lab, tmp_path / "banned", BANNED, address)
    assert "ERR_SSL_UNRECOGNIZED_NAME_ALERT" in shown
    assert not lab.internet.saw(BANNED.encode())
    lines = lab.blocked(1, layer="tls")  # a browser tries more than once
    assert {(line["name"], line["device"], line["dest_ip"]) for line in lines} == {(BANNED, "phone", address)}

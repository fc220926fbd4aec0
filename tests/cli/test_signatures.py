"""`enforcer lists sign` and `verify`, and a configuration that demands signatures."""

import subprocess
from pathlib import Path

import pytest

from enforcer.cli.context import HERE
from tests.cli.site import CONFIG, Run, write_config
from tests.tools import need


@pytest.fixture
def key(site: Path) -> Path:
    """A private key, as its owner makes it."""
    path = site / "key.pem"
    subprocess.run([need("openssl"), "genpkey", "-algorithm", "ed25519", "-out", str(path)], check=True)
    return path


@pytest.fixture
def signed(run: Run, site: Path, key: Path) -> Path:
    """The site, whose list is signed, and which demands that."""
    result = run("lists", "sign", "--key", "key.pem", "--public", "lists.pub", "chat.yaml")
    assert result.exit_code == 0
    assert result.stdout.startswith("chat.yaml is signed by ")
    policy = {**CONFIG["policy"], "require_signature": ["lists.pub"]}  # type: ignore[dict-item]
    write_config(site, {**CONFIG, "policy": policy})
    return site


def test_a_signed_list_is_taken(run: Run, signed: Path) -> None:
    result = run("lists", "verify")
    assert (result.exit_code, result.stdout) == (0, f"{signed}/chat.yaml: good (file:chat.yaml)\n")
    assert run("check", "chat.test").exit_code == 1  # blocked
    assert run("config", "check").exit_code == 0


def test_an_altered_list_is_refused(run: Run, signed: Path) -> None:
    (signed / "chat.yaml").write_text((signed / "chat.yaml").read_text().replace("Chat", "chat"))
    assert "the list or the signature was changed" in run("lists", "verify").stderr
    assert run("lists", "verify").exit_code == 1
    result = run("config", "check")
    assert (result.exit_code, "chat.yaml: signature: the signature is not that of this list" in result.stderr) == (
        2,
        True,
    )


def test_an_unsigned_list_is_refused(run: Run, signed: Path) -> None:
    (signed / "chat.yaml.minisig").unlink()
    assert "chat.yaml: not signed: there is no chat.yaml.minisig" in run("lists", "verify").stderr
    result = run("config", "check")
    assert (result.exit_code, "there is no chat.yaml.minisig; sign the list" in result.stderr) == (2, True)


def test_another_key_does_not_count(run: Run, signed: Path) -> None:
    other = signed / "other.pem"
    subprocess.run([need("openssl"), "genpkey", "-algorithm", "ed25519", "-out", str(other)], check=True)
    assert run("lists", "sign", "--key", "other.pem", "chat.yaml").exit_code == 0
    assert "which is not among those that count" in run("config", "check").stderr


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("verify", "chat.yaml"), 2, "whose signatures count?"),
        (("verify", "--key", "chat.yaml", "chat.yaml"), 2, "this is no public key of minisign"),
        (("sign", "--key", "chat.yaml", "chat.yaml"), 1, "this is no private key in PEM"),
        (("sign", "--key", "rsa.pem", "chat.yaml"), 1, "this key is not of Ed25519"),
        (("sign", "--key", "key.pem", "--public", "missing/x.pub", "chat.yaml"), 1, "cannot be written or read"),
    ],
)
def test_what_cannot_be_done_is_told(
    run: Run, key: Path, arguments: tuple[str, ...], *, status: int, text: str
) -> None:
    command = [need("openssl"), "genpkey", "-algorithm", "x25519", "-out", "rsa.pem"]
    subprocess.run(command, cwd=key.parent, check=True)
    result = run("lists", *arguments)
    assert (result.exit_code, text in result.stderr) == (status, True), result.stderr


def test_a_key_that_cannot_be_read_refuses_the_start(run: Run, signed: Path) -> None:
    (signed / "lists.pub").write_text("hello")
    assert "lists.pub: this is no public key of minisign" in run("config", "check").stderr
    assert (signed / HERE).exists()

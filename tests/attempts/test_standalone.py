"""The program of a bundle, as its auditor runs it: by itself, and with every part of the bundle changed."""

import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.attempts.bundle import Order, Sources, write_bundle
from enforcer.attempts.checkpoint import Notary
from enforcer.attempts.standalone import decompress, main, signed, signed_slowly
from tests.attempts.bundled import compiled_policy
from tests.cli.site import attempt
from tests.hub.desk import DAY_MS, NOTARY, Desk
from tests.records import NOON_MS

SHA256, POLICY = compiled_policy()
FROM_WITHIN = "from the bundle itself: compare the name, or give yours with --key"


def bundled(folder: Path, device: str | None) -> Path:
    desk = Desk(folder)
    for number in range(2):
        desk.now_ms = NOON_MS + number * DAY_MS
        entries = [attempt(number * 1440 + n, ip, ruleset=SHA256[:12]) for n, ip in enumerate(["10.20.0.5"] * 3)]
        desk.log.append(entries, desk.clock())
    desk.log.checkpoint(desk.clock())
    desk.log.close()
    desk.folders.policy.mkdir()
    (desk.folders.policy / SHA256).write_bytes(POLICY)
    sources = Sources(desk.folders.log, desk.folders.holds, desk.folders.policy)
    write_bundle(folder / "bundle.zip", sources, Order(device, None, None, "alice", "case", NOON_MS, "enforcer 1"))
    with ZipFile(folder / "bundle.zip") as archive:
        archive.extractall(folder / "bundle")
    return folder / "bundle"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundled(tmp_path, "dev-1")


def change(folder: Path, name: str, how: Callable[[bytes], bytes]) -> None:
    """Change a file, and its checksum with it: checksums are no secret."""
    path = folder / name
    old = path.read_bytes()
    new = how(old)
    assert new != old
    path.write_bytes(new)
    sums = folder / "SHA256SUMS"
    was, now = (f"{sha256(data).hexdigest()}  {name}\n" for data in (old, new))
    sums.write_text(sums.read_text().replace(was, now))


def test_it_needs_nothing_but_python(bundle: Path) -> None:
    """-I -S: no site packages, so no library for signatures either."""
    command = [sys.executable, "-I", "-S", str(bundle / "verify.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "8 files have the checksums that they were given",
        "6 records of 6 attempts were in the log, 0 of them not signed yet",
        "1 policies are those that the records name",
        f"Everything is as it was written and signed. Key {NOTARY.name}, {FROM_WITHIN}",
    ]


@pytest.mark.parametrize(
    ("name", "how", "text"),
    [
        ("records.ndjson", lambda d: d.replace(b'\\"count\\":1', b'\\"count\\":2', 1), "is not what was in the log"),
        ("records.ndjson", lambda d: d.replace(b'"index":1', b'"index":2', 1), "is not what was in the log"),
        ("records.ndjson", lambda d: d.replace(b'\\"dev-1\\"', b'\\"dev-2\\"', 1), "is of another device"),
        ("records.ndjson", lambda d: b"".join(d.splitlines(keepends=True)[1:]), "the manifest counts other records"),
        (
            "checkpoints.ndjson",
            lambda d: d.replace(b'"count":3', b'"count":4', 1),
            "the signature in line 4 is not good",
        ),
        ("checkpoints.ndjson", lambda d: d.replace(b'"signature"', b'"signatuXe"', 1), "there is no signature"),
        (f"policy/{SHA256}", lambda d: d + b"x", "is not the policy of that name"),
        ("manifest.json", lambda d: d.replace(b'"dev-1"', b'"dev-3"'), "is of another device"),
    ],
    ids=["count", "place", "device", "left-out", "checkpoint", "unsigned", "policy", "manifest"],
)
def test_what_was_changed_is_found(
    bundle: Path, capsys: pytest.CaptureFixture[str], name: str, *, how: Callable[[bytes], bytes], text: str
) -> None:
    change(bundle, name, how)
    assert main([str(bundle)]) == 1
    assert text in capsys.readouterr().out.splitlines()[-1]


def test_a_file_that_was_changed_alone_has_another_checksum(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle / "README.txt").write_text("another")
    assert main([str(bundle)]) == 1
    assert "WRONG: README.txt has another checksum" in capsys.readouterr().out


def test_another_key_than_the_auditors_own(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Notary.of("gw", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    (tmp_path / "mine.pem").write_text(other.public_pem)
    assert main(["--key", str(tmp_path / "mine.pem"), str(bundle)]) == 1
    assert f"signed with the key {NOTARY.name}, which is not at hand" in capsys.readouterr().out


def test_a_bundle_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    (tmp_path / "manifest.json").write_text("{")
    assert main([str(tmp_path)]) == 2
    assert "the bundle cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (lambda d: d.replace(b'"count":1', b'"count":2', 1), "the chain is broken"),
        (lambda d: b"".join(d.splitlines(keepends=True)[:-1]), "does not end with what the hub signed"),
        (lambda d: b"{}\n" + d, "the chain is broken"),
    ],
    ids=["changed", "cut", "no-line"],
)
def test_whole_days_that_were_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: Callable[[bytes], bytes], text: str
) -> None:
    folder = bundled(tmp_path, None)
    assert main([str(folder)]) == 0
    change(folder, "log/2026-11-23.ndjson", how)
    assert main([str(folder)]) == 1
    assert text in capsys.readouterr().out


# RFC 8032 §7.1, tests 1 to 3: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS, ids=["1", "2", "3"])
def test_the_vectors_of_rfc_8032(public: str, message: str, signature: str) -> None:
    values = [bytes.fromhex(each) for each in (public, message, signature)]
    for check in (signed, signed_slowly):
        assert check(*values)
        assert not check(values[0], values[1] + b"x", values[2])


@settings(max_examples=20, deadline=None)
@given(secret=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200), data=st.data())
def test_slow_and_fast_agree(secret: bytes, message: bytes, data: st.DataObject) -> None:
    key = Ed25519PrivateKey.from_private_bytes(secret)
    public, signature = key.public_key().public_bytes_raw(), bytearray(key.sign(message))
    assert signed_slowly(public, message, bytes(signature))
    signature[data.draw(st.integers(0, 63))] ^= data.draw(st.integers(1, 255))
    assert not signed_slowly(public, message, bytes(signature))
    assert not signed(public, message, bytes(signature))


def test_octets_that_are_no_point() -> None:
    assert decompress(b"\xff" * 32) is None
    assert not signed_slowly(b"\xff" * 32, b"", bytes(64))
    assert not signed_slowly(bytes.fromhex(VECTORS[0][0]), b"", bytes(63))
    assert sum(decompress(bytes([number]) + bytes(31)) is None for number in range(2, 60)) > 10
    assert json.dumps(decompress((1).to_bytes(32, "little"))) == "[0, 1, 1, 0]"

#!/usr/bin/env python3
"""Check an evidence bundle of Enforcer, on any machine with Python 3.9 or later and nothing else.

usage: python3 verify.py [--key KEY.pem] [FOLDER]

FOLDER: the unpacked bundle; without it, the folder of this program. KEY.pem: the hub's public key as you have it from
elsewhere; without it, the keys in the bundle are used, which prove only that everything in it is of one piece.
Exit status: 0 everything is as the hub wrote and signed it, 1 something is not, 2 the bundle cannot be read.

This program is part of each bundle, and on purpose uses nothing of Enforcer: read it, or write your own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from pathlib import Path

PREV = re.compile(rb',"prev":"([0-9a-f]{64})"\}$')
SIGNATURE = re.compile(rb',"signature":"([A-Za-z0-9+/=]+)"\}$')


class Wrong(Exception):
    """What does not agree."""


# Ed25519 (RFC 8032 §5.1), for machines without the library `cryptography`: slow, and only for checking.

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)

Point = tuple[int, int, int, int]


def add(a: Point, b: Point) -> Point:
    """The sum of two points, in extended coordinates (§5.1.4)."""
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    return (f - e) * (h - g) % P, (h + g) * (f + e) % P, (h - g) * (h + g) % P, (f - e) * (f + e) % P


def times(number: int, point: Point) -> Point:
    """A multiple of a point."""
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = add(result, point)
        point = add(point, point)
        number >>= 1
    return result


def decompress(octets: bytes) -> Point | None:
    """The point of 32 octets (§5.1.3); None where there is none."""
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (x * x - square) % P or (not x and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE_Y = 4 * pow(5, P - 2, P) % P


def signed_slowly(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is good (§5.1.7)."""
    base, key = decompress(BASE_Y.to_bytes(32, "little")), decompress(public)
    if len(signature) != 64 or base is None or key is None:
        return False
    r, s = decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    if r is None or s >= Q:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    left, right = times(s, base), add(r, times(int.from_bytes(digest, "little") % Q, key))
    return not (left[0] * right[2] - right[0] * left[2]) % P and not (left[1] * right[2] - right[1] * left[2]) % P


def signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """The same, fast where the library is there."""
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (it may not be there)
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    except ImportError:
        return signed_slowly(public, message, signature)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# The bundle


def keys_of(paths: list[Path]) -> dict[str, bytes]:
    """The public keys of PEM files, by name: the first 16 hexadecimal digits of the SHA-256 of its 32 octets."""
    found = {}
    for path in paths:
        for block in re.findall(r"-----BEGIN PUBLIC KEY-----(.*?)-----END", path.read_text("ascii"), re.DOTALL):
            public = base64.b64decode(block)[-32:]
            found[hashlib.sha256(public).hexdigest()[:16]] = public
    return found


def check_signature(line: bytes, keys: dict[str, bytes]) -> dict:  # type: ignore[type-arg]
    """The members of a signed line of JSON, if the signature is good: it is over all before it, closed with `}`."""
    body = PREV.sub(b"}", line)
    found, said = SIGNATURE.search(body), json.loads(line)
    if found is None:
        raise Wrong("there is no signature in the line " + repr(line[:80]))
    key = keys.get(said["key"])
    if key is None:
        raise Wrong(f"line {said['seq']} is signed with the key {said['key']}, which is not at hand")
    if not signed(key, body[: found.start()] + b"}", base64.b64decode(found[1])):
        raise Wrong(f"the signature in line {said['seq']} is not good")
    return said  # type: ignore[no-any-return]


def root_of(line: bytes, index: int, count: int, proof: list[bytes]) -> bytes:
    """The root to which a proof leads (RFC 9162 §2.1.3.2); nothing where it leads nowhere."""
    node = hashlib.sha256(b"\x00" + line).digest()
    number, last = index, count - 1
    for sibling in proof:
        if not last:
            return b""
        if number & 1 or number == last:
            node = hashlib.sha256(b"\x01" + sibling + node).digest()
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\x01" + node + sibling).digest()
        number, last = number >> 1, last >> 1
    return b"" if last else node


def check_sums(folder: Path) -> int:
    """Every file is what the bundle was made with."""
    lines = (folder / "SHA256SUMS").read_text("utf-8").splitlines()
    for line in lines:
        digest, _, name = line.partition("  ")
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise Wrong(f"{name} has another checksum than SHA256SUMS says")
    return len(lines)


def check_records(folder: Path, manifest: dict, keys: dict[str, bytes]) -> str:  # type: ignore[type-arg]
    """Each record was in the log of its day, as a checkpoint of the hub signs."""
    days = {}
    for line in (folder / "checkpoints.ndjson").read_bytes().splitlines():
        said = check_signature(line, keys)
        days[said["day"]] = said
    records = attempts = unproven = 0
    for text in (folder / "records.ndjson").read_bytes().splitlines():
        entry = json.loads(text)
        line = entry["line"].encode("ascii")
        record = json.loads(line)
        if record["device"] != manifest["device"]:
            raise Wrong(f"record {record['seq']} is of another device")
        if entry["proof"] is None:
            unproven += 1
        else:
            day = days[entry["day"]]
            proof = [bytes.fromhex(node) for node in entry["proof"]]
            if root_of(line, entry["index"], day["count"], proof).hex() != day["root"]:
                raise Wrong(f"record {record['seq']} is not what was in the log of {entry['day']}")
        records, attempts = records + 1, attempts + record["count"]
    if (records, attempts, unproven) != (manifest["records"], manifest["attempts"], manifest["unproven"]):
        raise Wrong("the manifest counts other records than there are")
    return f"{records} records of {attempts} attempts were in the log, {unproven} of them not signed yet"


def check_days(folder: Path, keys: dict[str, bytes]) -> str:
    """Whole days: every line is chained to the one before, and each file ends with what the hub signed."""
    lines = checkpoints = 0
    for path in sorted((folder / "log").glob("*.ndjson")):
        head: bytes | None = None
        is_checkpoint = False
        for line in path.read_bytes().splitlines():
            found = PREV.search(line)
            if found is None or (head is not None and found[1] != head.hex().encode()):
                raise Wrong(f"{path.name}: the chain is broken at the line {line[:80]!r}")
            head = hashlib.sha256(bytes.fromhex(found[1].decode()) + line[: found.start()] + b"}").digest()
            lines += 1
            is_checkpoint = b'"type":"checkpoint"' in line[:40]
            if is_checkpoint:
                if check_signature(line, keys)["hash"] != found[1].decode():
                    raise Wrong(f"{path.name}: a checkpoint does not sign the lines before it")
                checkpoints += 1
        if not is_checkpoint:
            raise Wrong(f"{path.name} does not end with what the hub signed")
    return f"{lines} lines are chained, {checkpoints} checkpoints among them are signed"


def check_policies(folder: Path) -> str:
    """Each policy is the one that its name says."""
    names = [path for path in sorted((folder / "policy").glob("*")) if path.suffix != ".json"]
    for path in names:
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            raise Wrong(f"policy/{path.name} is not the policy of that name")
    return f"{len(names)} policies are those that the records name"


def main(arguments: list[str]) -> int:
    """Check everything; stop at the first thing that is wrong."""
    files = [Path(arguments[at + 1]) for at, word in enumerate(arguments[:-1]) if word == "--key"]
    words = [word for at, word in enumerate(arguments) if word != "--key" and arguments[max(at - 1, 0)] != "--key"]
    folder = Path(words[0]) if words else Path(__file__).resolve().parent
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        sys.stdout.write(f"{check_sums(folder)} files have the checksums that they were given\n")
        keys = keys_of(files or sorted((folder / "keys").glob("*.pem")))
        if (folder / "log").is_dir():
            sys.stdout.write(check_days(folder, keys) + "\n")
        if (folder / "records.ndjson").exists():
            sys.stdout.write(check_records(folder, manifest, keys) + "\n")
        for path in sorted(folder.glob("purged/*.purged")):
            for line in path.read_bytes().splitlines():
                check_signature(line, keys)
            sys.stdout.write(f"{path.stem} was purged by the hub, and this is its signed proof\n")
        sys.stdout.write(check_policies(folder) + "\n")
    except Wrong as wrong:
        sys.stdout.write(f"WRONG: {wrong}\n")
        return 1
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        sys.stdout.write(f"the bundle cannot be read: {error!r}\n")
        return 2
    names = ", ".join(sorted(keys))
    trust = "from elsewhere" if files else "from the bundle itself: compare the name, or give yours with --key"
    sys.stdout.write(f"Everything is as it was written and signed. Key {names}, {trust}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

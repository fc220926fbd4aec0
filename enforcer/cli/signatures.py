"""`enforcer lists sign` and `verify`: who answers for a list."""

from pathlib import Path

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from enforcer.blocklists import read_signers
from enforcer.cli.context import config_option, load_config
from enforcer.cli.output import say
from enforcer.errors import Malformed, Unavailable
from enforcer.policy.signature import SUFFIX, check, key_of, sign

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("sign")
@click.option("--key", "key_file", type=_file, required=True, metavar="FILE", help="Your private key: Ed25519, in PEM.")
@click.option("--public", type=click.Path(path_type=Path), metavar="FILE", help="Write the public key there, too.")
@click.argument("files", metavar="FILE…", type=_file, nargs=-1, required=True)
def sign_(key_file: Path, public: Path | None, files: tuple[Path, ...]) -> None:
    """Sign lists: beside each FILE a FILE.minisig, which minisign can check as well.

    A key is made with: openssl genpkey -algorithm ed25519 -out list-key.pem. Keep it off the gateways; they need the
    public key alone, in policy.require_signature. Lists signed with minisign itself are as good.

    Example: enforcer lists sign --key list-key.pem --public lists.pub wechat.yaml kaspersky.yaml
    """
    private = _private(key_file)
    try:
        for path in files:
            data = path.read_bytes()
            path.with_name(path.name + SUFFIX).write_text(sign(data, private, f"file:{path.name}"))
            say(f"{path} is signed by {key_of(private).name}")
        if public is not None:
            public.write_text(key_of(private).text())
    except OSError as error:
        raise Unavailable(f"{error.filename}: cannot be written or read ({error.strerror})") from error


@click.command("verify")
@config_option
@click.option(
    "--key", "keys", type=_file, multiple=True, metavar="FILE",
    help="A public key of minisign; without one, those of policy.require_signature.",
)  # fmt: skip
@click.argument("files", metavar="[FILE]…", type=_file, nargs=-1)
def verify_(config: Path | None, keys: tuple[Path, ...], files: tuple[Path, ...]) -> None:
    """Check the signatures of lists; without files, of those of the configuration.

    The exit status is 1 when one is missing or not good.

    Example: enforcer lists verify --key lists.pub wechat.yaml
    """
    if not (keys and files):
        loaded = load_config(config)[1]
        keys, files = keys or loaded.policy.require_signature, files or loaded.policy.lists
    if not keys:
        raise click.UsageError("whose signatures count? name a public key with --key, or policy.require_signature")
    signers = read_signers(keys)
    bad = False
    for path in files:
        try:
            signature = path.with_name(path.name + SUFFIX).read_text("utf-8", "replace")
            say(f"{path}: good ({check(path.read_bytes(), signature, signers)})")
        except FileNotFoundError:
            bad = True
            say(f"{path}: not signed: there is no {path.name}{SUFFIX}", err=True)
        except Malformed as error:
            bad = True
            say(f"{path}: {error.what}", err=True)
    click.get_current_context().exit(1 if bad else 0)


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Unavailable(f"{path}: this is no private key in PEM without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Unavailable(f"{path}: this key is not of Ed25519")
    return key

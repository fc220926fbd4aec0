"""From lists on the disk to a compiled policy on the disk, and from there into use."""

import mmap
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import file_digest, sha256
from pathlib import Path

from enforcer.errors import Corrupt, Malformed, Mistake, Mistakes, Unavailable
from enforcer.policy.compiled import PolicySettings, compile_policy
from enforcer.policy.judge import Policy
from enforcer.policy.lists import BlockList, read_list
from enforcer.policy.signature import SUFFIX, SigningKey, check, read_key
from enforcer.policy.thirdparty import Source, ThirdParty, read_names

SIGNATURE = "signature: "
"""How what is wrong with a list's signature begins."""

_PACKAGE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Lists:
    """Lists that can be put in force. warnings: what somebody should look at, though it stops nothing."""

    own: tuple[BlockList, ...]
    third_party: tuple[ThirdParty, ...]
    warnings: tuple[Mistake, ...]


def shipped_folder() -> Path:
    """The lists that come with Enforcer: inside of an installed package, beside it in a source tree."""
    installed = _PACKAGE / "_data" / "blocklists"
    return installed if installed.is_dir() else _PACKAGE.parent / "blocklists"


def shipped(name: str) -> Path | None:
    """The file of a list that comes with Enforcer, `wechat.yaml`; None when there is none of that name."""
    return next((path for path in shipped_folder().glob("*.yaml") if path.name == name), None)


def load_lists(paths: Iterable[Path], today: date, signers: Sequence[SigningKey] = ()) -> tuple[BlockList, ...]:
    """Read our own lists, in order. Raises Mistakes with everything that is wrong in any of them.

    signers: with any, each list must have a good signature of one of them.
    """
    return tuple(_each(paths, lambda path: _load_list(path, today, signers)))


def read_signers(paths: Iterable[Path]) -> tuple[SigningKey, ...]:
    """Read the public keys of those who may sign lists. Raises Mistakes."""

    def read(path: Path) -> SigningKey:
        try:
            return read_key(path.read_text("utf-8", "replace"))
        except OSError as error:
            raise Mistakes([Mistake(str(path), None, f"cannot be read: {error.strerror}")]) from None
        except Malformed as error:
            raise Mistakes([Mistake(str(path), None, error.what)]) from None

    return tuple(_each(paths, read))


def load_third_party(sources: Iterable[Source], copies: Path) -> tuple[tuple[ThirdParty, ...], tuple[Mistake, ...]]:
    """Read third-party lists, and say which of them have bad lines, and for which an older copy had to do.

    copies: a folder where the last good copy of each list is kept. Raises Mistakes when a list cannot be used and
    there is no copy of it.
    """
    warnings: list[Mistake] = []
    found = _each(sources, lambda source: _load_third_party(source, copies / source.name, warnings))
    for each in found:
        if each.bad:
            what = f"the first of {each.bad} bad lines, which are left out"
            warnings.append(Mistake(each.source.file, each.bad_lines[0], what))
    return tuple(found), tuple(warnings)


def load(
    paths: Iterable[Path],
    sources: Sequence[Source],
    copies: Path,
    today: date,
    signers: Sequence[SigningKey] = (),
) -> Lists:
    """Read everything that the configuration names. Raises Mistakes with everything that is wrong.

    signers: as in `load_lists`.
    """
    mistakes: list[Mistake] = []
    own: tuple[BlockList, ...] = ()
    third_party: tuple[ThirdParty, ...] = ()
    warnings: tuple[Mistake, ...] = ()
    try:
        own = load_lists(paths, today, signers)
    except Mistakes as error:
        mistakes += error.mistakes
    try:
        third_party, warnings = load_third_party(sources, copies)
    except Mistakes as error:
        mistakes += error.mistakes
    mistakes += _same_names([(each.name, each.file) for each in own] + [(each.name, each.file) for each in sources])
    if mistakes:
        raise Mistakes(mistakes)
    return Lists(own, third_party, (*(each for one in own for each in one.warnings), *warnings))


def compile_to(
    folder: Path, lists: Sequence[BlockList], third_party: Sequence[ThirdParty], settings: PolicySettings
) -> Path:
    """Compile into `folder/<SHA-256 in hexadecimal>`, which is there as a whole or not at all; returns its path.

    Raises Mistakes as `compile_policy` does, and Unavailable when the file cannot be written.
    """
    data = compile_policy(lists, third_party, settings)
    path = folder / sha256(data).hexdigest()
    try:
        if not _holds(path):
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, data)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}; the policy cannot be written") from error
    return path


def open_policy(path: Path, *, verify: bool = True) -> Policy:
    """Map a compiled policy and take it into use; its pages are shared with everybody who maps it.

    verify: read the whole file for its SHA-256, which must be its name; not needed again after the hub has done so.
    Raises Unavailable when the file cannot be read, Corrupt when it is not what it should be.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}; reload the policy to have it compiled again") from error
    except ValueError:
        raise Corrupt(f"{path}: the file is empty; delete it, and reload the policy") from None
    if verify and sha256(data).hexdigest() != path.name:
        raise Corrupt(f"{path}: its content is not what its name says; delete it, and reload the policy")
    try:
        return Policy.load(data, path.name[:12])
    except Corrupt as error:
        raise Corrupt(f"{path}: {error}") from None


def _each[F, T](inputs: Iterable[F], read: Callable[[F], T]) -> list[T]:
    """Read all of them; raises Mistakes with those of all."""
    found: list[T] = []
    mistakes: list[Mistake] = []
    for each in inputs:
        try:
            found.append(read(each))
        except Mistakes as error:
            mistakes += error.mistakes
    if mistakes:
        raise Mistakes(mistakes)
    return found


def _load_list(path: Path, today: date, signers: Sequence[SigningKey]) -> BlockList:
    try:
        data = path.read_bytes()
        if signers:
            _see_signature(path, data, signers)
        text = data.decode("utf-8")
    except OSError as error:
        raise Mistakes([Mistake(str(path), None, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Mistakes([Mistake(str(path), line, "not UTF-8; save the file as UTF-8")]) from None
    return read_list(text, str(path), today)


def _see_signature(path: Path, data: bytes, signers: Sequence[SigningKey]) -> None:
    """Of the octets that are read, so that nothing can come in between. Raises Mistakes."""
    try:
        check(data, path.with_name(path.name + SUFFIX).read_text("utf-8", "replace"), signers)
    except OSError:
        what = f"{SIGNATURE}there is no {path.name}{SUFFIX}; sign the list, as with enforcer lists sign"
        raise Mistakes([Mistake(str(path), None, what)]) from None
    except Malformed as error:
        raise Mistakes([Mistake(str(path), None, SIGNATURE + error.what)]) from None


def _load_third_party(source: Source, copy: Path, warnings: list[Mistake]) -> ThirdParty:
    """Read what will be the copy, so that the two are the same; without a good one, the copy that is there."""
    fresh = copy.with_name(f"{copy.name}~")  # as no list is named
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.file, fresh)
        found = _read_names(fresh, source)
    except (OSError, Mistakes) as error:
        fresh.unlink(missing_ok=True)
        wrong = _mistakes(error, source)
        if not copy.exists():
            raise Mistakes(wrong) from None
        warnings += [*wrong, Mistake(source.file, None, "the last good copy stays in force")]
        return _read_names(copy, source)
    fresh.replace(copy)
    return found


def _read_names(path: Path, source: Source) -> ThirdParty:
    with path.open("rb") as file:
        found = read_names(file, source)
    if not (found.suffixes or found.exacts):  # a download that broke off, rather than somebody's wish
        what = f"no names in it, read as {found.format}; say its format, or leave the list out"
        raise Mistakes([Mistake(source.file, None, what)])
    return found


def _mistakes(error: OSError | Mistakes, source: Source) -> list[Mistake]:
    if isinstance(error, Mistakes):
        return list(error.mistakes)
    return [Mistake(source.file, None, f"cannot be read: {error.strerror or error}")]


def _same_names(named: Iterable[tuple[str, str]]) -> Iterable[Mistake]:
    """The name of a list begins the ids of its rules, so no two lists share one."""
    first: dict[str, str] = {}
    for name, file in named:
        if name in first:
            yield Mistake(file, None, f'list "{name}" is also {first[name]}; give one of them another name')
        first.setdefault(name, file)


def _holds(path: Path) -> bool:
    """Whether the file is there and holds what its name says."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest() == path.name


def _write(path: Path, data: bytes) -> None:
    """All or nothing, power cuts included: the content is on the disk before the name is."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)  # half a policy must not fill a disk that is full
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

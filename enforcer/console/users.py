"""Local users and API tokens: a file with one line for each, `NAME ROLE[,ROLE…] SECRET`.

SECRET is an argon2id hash of a password, or `sha256:` and the SHA-256 of a token: a token has 256 bits of chance, so
that a slow hash would protect nothing and cost every request. `#` begins a comment.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Self

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from enforcer.config.pages import Role
from enforcer.console.roles import Person, Via
from enforcer.errors import Mistake, Mistakes

PASSWORD_LEAST, PASSWORD_MOST = 12, 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_TOKEN_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_HASHER = PasswordHasher()  # RFC 9106's second recommended set: 64 MiB, 3 passes, 4 lanes


@dataclass(frozen=True, slots=True)
class User:
    """One line of the file. secret: as written there."""

    name: str
    roles: frozenset[Role]
    secret: str

    @property
    def is_token(self) -> bool:
        """Whether it is for a program: a token in the Authorization header, never a sign-in."""
        return self.secret.startswith("sha256:")

    @property
    def proof(self) -> bytes:
        """Another one for another password, from which neither can be told."""
        return sha256(self.secret.encode()).digest()

    def __str__(self) -> str:
        return f"{self.name} {','.join(sorted(self.roles))} {self.secret}"


@dataclass(frozen=True, slots=True)
class Users:
    """Everybody in the file."""

    by_name: Mapping[str, User]
    by_token: Mapping[str, User]

    @classmethod
    def of(cls, users: Iterable[User]) -> Self:
        """The two ways to look somebody up."""
        named = {user.name: user for user in users}
        tokens = {user.secret: user for user in named.values() if user.is_token}
        return cls(MappingProxyType(named), MappingProxyType(tokens))

    @classmethod
    def read(cls, text: str, file: str) -> Self:
        """Read the file's text. Raises Mistakes with everything that is wrong."""
        found: list[User] = []
        mistakes: list[Mistake] = []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            wrong = _wrong(words, {user.name for user in found})
            if wrong is not None:
                mistakes.append(Mistake(file, number, wrong))
                continue
            name, roles, secret = words
            found.append(User(name, frozenset(map(Role, roles.split(","))), secret))
        if mistakes:
            raise Mistakes(mistakes)
        return cls.of(found)

    def check_password(self, name: str, password: str) -> Person | None:
        """Who a name and a password are; None when they do not fit. Takes a moment of one core, and 64 MiB."""
        user = self.by_name.get(name)
        known = user is not None and not user.is_token
        secret = user.secret if known and user is not None else _nobody()
        try:
            _HASHER.verify(secret, password[:PASSWORD_MOST])
        except (VerificationError, InvalidHashError):
            return None
        return _signed_in(user) if known and user is not None else None

    def check_token(self, token: str) -> Person | None:
        """Whose token this is; None for nobody's."""
        user = self.by_token.get(hash_token(token))
        return None if user is None else Person(user.name, user.roles, Via.TOKEN)

    def again(self, person: Person) -> Person | None:
        """Who signed in before, with the roles of now; None when the file has them, or that password, no more."""
        user = self.by_name.get(person.name)
        return None if user is None or user.is_token or user.proof != person.proof else _signed_in(user)


def _signed_in(user: User) -> Person:
    return Person(user.name, user.roles, Via.PASSWORD, user.proof)


@cache
def _nobody() -> str:
    """What an unknown name's password is compared with, so that the time taken does not say which names there are."""
    return _HASHER.hash("nobody has this name")


def hash_password(password: str) -> str:
    """What the file keeps of a password."""
    return _HASHER.hash(password)


def hash_token(token: str) -> str:
    """What the file keeps of a token."""
    return f"sha256:{sha256(token.encode()).hexdigest()}"


def is_name(text: str) -> bool:
    """Whether somebody can be named so."""
    return _NAME.fullmatch(text) is not None


class UsersFile:
    """The file, read again when it changes. One with mistakes, or none at all, leaves what was read before."""

    def __init__(self, path: Path) -> None:
        """trouble: why the file cannot be read as it is now; None when it can."""
        self.path = path
        self.trouble: str | None = None
        self._users = Users.of(())
        self._seen: tuple[int, int, int] | None = None

    def now(self) -> Users:
        """Everybody, as the file says at this moment. A file that is gone has nobody in it."""
        try:
            found = self.path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen != self._seen:
                self._users = Users.read(self.path.read_text(encoding="utf-8"), str(self.path))
                self._seen, self.trouble = seen, None
        except FileNotFoundError:
            self._users, self._seen, self.trouble = Users.of(()), None, None
        except (Mistakes, OSError, UnicodeError) as error:
            self.trouble = str(error)
        return self._users


def _wrong(words: list[str], before: set[str]) -> str | None:
    if len(words) != 3:
        return 'this is not NAME ROLE[,ROLE…] SECRET; let "enforcer console user add" write the line'
    name, roles, secret = words
    if not is_name(name):
        return f'"{name}" is not a name; write 1 to 64 of the characters A-Z a-z 0-9 . _ @ + -'
    if name in before:
        return f'"{name}" is here twice; leave one out'
    for role in roles.split(","):
        if role not in {each.value for each in Role}:
            return f'"{role}" is not a role; write some of {", ".join(Role)}'
    if not secret.startswith("$argon2id$") and not _TOKEN_HASH.fullmatch(secret):
        return 'the secret is no hash of ours; let "enforcer console user add" write the line'
    return None


def write_user(path: Path, user: User) -> None:
    """Add a line to the file, or replace the line of that name; the other lines stay as they are."""
    lines = [line for line in _lines(path) if line.partition("#")[0].split()[:1] != [user.name]]
    _write(path, [*lines, str(user)])


def remove_user(path: Path, name: str) -> bool:
    """Take the line of a name out of the file; False where there is none."""
    lines = _lines(path)
    rest = [line for line in lines if line.partition("#")[0].split()[:1] != [name]]
    if len(rest) == len(lines):
        return False
    _write(path, rest)
    return True


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _write(path: Path, lines: list[str]) -> None:
    """Beside the file, and then renamed: a reader never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f"{path.name}.new")
    beside.touch(mode=0o600)
    beside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    beside.replace(path)

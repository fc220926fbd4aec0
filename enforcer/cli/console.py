"""`enforcer console`: the pages as a process, and who may sign in."""

import asyncio
import os
import secrets
import sys
from pathlib import Path

import click

from enforcer.cli.context import config_option, json_option, load_config, look_into
from enforcer.cli.output import print_json, print_table, say
from enforcer.config.pages import Role
from enforcer.config.values import quoted
from enforcer.errors import EnforcerError
from enforcer.notify import end_with_supervisor, notify

_roles_option = click.option(
    "--role",
    "roles",
    type=click.Choice([str(role) for role in Role]),
    multiple=True,
    required=True,
    help="What for; can be given several times.",
)


@click.group(invoke_without_command=True)
@config_option
@click.option("--worker", type=click.IntRange(0, 0), default=0, help="Its number; there is one.")
@click.pass_context
def console(ctx: click.Context, config: Path | None, worker: int) -> None:  # noqa: ARG001 (one process is enough)
    """Serve the pages for those who review, and the block page; or say who may sign in.

    Example: enforcer console --config /etc/enforcer/enforcer.yaml
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = config
        return
    from enforcer.cli.run import log_to_stderr  # noqa: PLC0415 (slow to load; other commands need not wait)
    from enforcer.processes.confined import confine_console  # noqa: PLC0415
    from enforcer.processes.console import ConsoleProcess  # noqa: PLC0415

    log_to_stderr()
    end_with_supervisor()
    _, loaded = load_config(config, files=False)
    confine_console(loaded)
    asyncio.run(ConsoleProcess(loaded).run(lambda: notify("READY=1")))


@console.group()
def user() -> None:
    """Say who may sign in with a password, with auth: local.

    Example: enforcer console user add j.tremblay --role reviewer
    """


@console.group()
def token() -> None:
    """Make tokens for programs that use the API.

    Example: enforcer console token add siem --role auditor
    """


@user.command("add")
@config_option
@_roles_option
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, one line.")
@click.argument("name", metavar="NAME")
@click.pass_context
def add_user(ctx: click.Context, config: Path | None, roles: tuple[str, ...], password_stdin: bool, name: str) -> None:
    """Add somebody, or give somebody another password and other roles. A running console knows at once.

    The password is asked for; it is never an argument, which others could see.

    Example: enforcer console user add j.tremblay --role reviewer --role auditor
    """
    from enforcer.console.users import PASSWORD_LEAST, User, hash_password, is_name, write_user  # noqa: PLC0415

    if not is_name(name):
        raise EnforcerError(f"{quoted(name)} is not a name; write 1 to 64 of the characters A-Z a-z 0-9 . _ @ + -")
    path = _file(config or ctx.find_object(Path))
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if len(password) < PASSWORD_LEAST:
        raise EnforcerError(f"the password has {len(password)} characters; write at least {PASSWORD_LEAST}")
    write_user(path, User(name, frozenset(map(Role, roles)), hash_password(password)))
    say(f"{name} may sign in as {', '.join(sorted(roles))} ({path})")


@token.command("add")
@config_option
@_roles_option
@click.argument("name", metavar="NAME")
@click.pass_context
def add_token(ctx: click.Context, config: Path | None, roles: tuple[str, ...], name: str) -> None:
    """Make a token for a program, and print it, this once. Only its hash is kept.

    Example: enforcer console token add siem --role auditor
    """
    from enforcer.console.users import User, hash_token, is_name, write_user  # noqa: PLC0415

    if not is_name(name):
        raise EnforcerError(f"{quoted(name)} is not a name; write 1 to 64 of the characters A-Z a-z 0-9 . _ @ + -")
    made = secrets.token_urlsafe(32)
    write_user(_file(config or ctx.find_object(Path)), User(name, frozenset(map(Role, roles)), hash_token(made)))
    say(made)


@user.command("list")
@config_option
@json_option("Print one object a line: name, kind, roles.")
@click.pass_context
def list_(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """List users and tokens.

    Example: enforcer console user list
    """
    from enforcer.console.users import Users  # noqa: PLC0415

    path = _file(config or ctx.find_object(Path))
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    rows = [
        (each.name, "token" if each.is_token else "user", sorted(map(str, each.roles)))
        for each in Users.read(text, str(path)).by_name.values()
    ]
    if as_json:
        for name, kind, roles in rows:
            print_json({"name": name, "kind": kind, "roles": roles})
    else:
        print_table(("name", "kind", "roles"), [(name, kind, ", ".join(roles)) for name, kind, roles in rows])


@user.command("remove")
@config_option
@click.argument("name", metavar="NAME")
@click.pass_context
def remove(ctx: click.Context, config: Path | None, name: str) -> None:
    """Take a user or a token out; whoever is signed in by that name is out at the next click.

    Example: enforcer console user remove j.tremblay
    """
    from enforcer.console.users import remove_user  # noqa: PLC0415

    path = _file(config or ctx.find_object(Path))
    if not remove_user(path, name):
        raise EnforcerError(f"{quoted(name)} is not in {path}; enforcer console user list names all")
    say(f"{name} is taken out of {path}")


def _file(config: Path | None) -> Path:
    from enforcer.processes.console import users_file  # noqa: PLC0415

    path = users_file(look_into(config))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.umask(0o077)
    return path

"""The command `enforcer`.

One small file a command group: it parses, calls one function, and prints. What a command needs is loaded when it is
called, so that the others do not wait for it.
"""

import json
from importlib import import_module

import click

from enforcer import __version__
from enforcer.errors import EnforcerError, Mistakes
from enforcer.hub.revision import revision

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

# In the order of the help text: the module, the name of the command in it, and what it does.
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": ("run", "run", "Start everything on this machine, and keep it running."),
    "dns": ("run", "dns", "Run one resolver process."),
    "proxy": ("proxy", "proxy", "Run one proxy process: mitmproxy as a gate that decrypts nothing."),
    "gateway": ("gateway", "gateway", "Keep the kernel's rules; show, plan, apply, remove, check them."),
    "gate": ("gateway", "gate", "Run one process of the gate for first packets."),
    "hub": ("run", "hub", "Run the process that compiles the policy and records attempts."),
    "sinks": ("run", "sinks", "Run the process that sends copies of the record away."),
    "console": ("console", "console", "Serve the pages for those who review; say who may sign in."),
    "check": ("check", "check", "Say what the policy does with names, addresses and URLs."),
    "explain": ("check", "explain", "Say why: the rule, its file and line, its source, every step."),
    "replay": ("replay", "replay", "Say what the policy would have done with a capture."),
    "lists": ("lists", "lists", "Look at block lists: their mistakes, figures, differences."),
    "attempts": ("attempts", "attempts", "Look at what was blocked, and whether the log is whole."),
    "incidents": ("incidents", "incidents_", "Review what devices tried, and say what it came to."),
    "devices": ("devices", "devices", "Look at the devices of the inventory."),
    "status": ("control", "status", "Say how the running hub and its workers are."),
    "reload": ("control", "reload", "Put changed lists, inventory and configuration in force."),
    "pause": ("control", "pause", "Observe a realm for some minutes instead of blocking."),
    "resume": ("control", "resume", "End a pause before its time."),
    "config": ("config", "config", "Look at the configuration: its mistakes, keys, values."),
}


class _Failure(click.ClickException):
    """An error of ours, printed as it is."""

    def show(self, file: object = None) -> None:  # noqa: ARG002 (click's signature)
        """Print it where errors go."""
        from enforcer.cli.output import say  # noqa: PLC0415 (slow to load; only who fails waits for it)

        for line in self.message.split("\n"):
            say(line, err=True)


class _WrongUse(_Failure):
    """What a person wrote is wrong."""

    exit_code = 2


class _Commands(click.Group):
    """Imports the module of a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, in the order of the help text."""
        return [*_COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None when there is none of that name."""
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"enforcer.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their help, without loading them."""
        rows = [(name, text) for name, (_, _, text) in _COMMANDS.items()]
        rows += [(name, self.commands[name].get_short_help_str(100)) for name in super().list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; what a person did wrong, or broke off, ends without a traceback."""
        try:
            return super().invoke(ctx)
        except Mistakes as error:
            raise _WrongUse(str(error)) from error
        except EnforcerError as error:
            raise _failure(ctx)(str(error)) from error
        except PermissionError as error:
            what = f"{error.filename}: {error.strerror}; ask as the user that Enforcer runs as"
            raise _failure(ctx)(what) from error
        except KeyboardInterrupt:
            ctx.exit(_INTERRUPTED)


def _failure(ctx: click.Context) -> type[_Failure]:
    """Of a command that could not do its work; of `check` and `replay`, 1 says that something is blocked."""
    return _WrongUse if ctx.invoked_subcommand in ("check", "replay") else _Failure


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def main() -> None:
    """Keep banned applications off the networks of managed devices, and prove it.

    Every command explains itself, with an example: enforcer check --help

    Exit status: 0 done; 1 it could not be done, or what a command looks for is there, as its help says; 2 what somebody
    wrote is wrong or missing: arguments, the configuration, lists.
    """


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def version(as_json: bool) -> None:
    """Print the version.

    With --json also a short hash of the program's own files: the revision of `enforcer_build_info`.

    Example: enforcer version
    """
    click.echo(json.dumps({"version": __version__, "revision": revision()}) if as_json else __version__)

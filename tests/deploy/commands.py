"""Whether what a unit or a document calls is a command of Enforcer."""

from collections.abc import Sequence

import click

from enforcer.cli import main


def see_that_it_is_a_command(arguments: Sequence[str]) -> None:
    """Let the command line read the arguments, without running anything. Options that there are not raise.

    The name of a group alone is one as well: it prints what there is in it.
    """
    command: click.Command = main
    left = list(arguments)
    while isinstance(command, click.Group) and left:
        name = left.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"there is no {name} in {' '.join(arguments)}"
        command = found
    if not isinstance(command, click.Group):
        command.make_context("enforcer", left)

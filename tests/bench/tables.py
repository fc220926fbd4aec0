"""How figures are printed."""

from collections.abc import Sequence


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header: the first column to the left, the others to the right."""
    lines = [columns, *rows]
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
    for first, *others in lines:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([f"{first:<{widths[0]}}", *cells]))


def ms(seconds: float) -> str:
    """Milliseconds."""
    return f"{seconds * 1000:.2f}"


def mb(octets: int) -> str:
    """Megabytes."""
    return f"{octets / 1e6:.0f}"

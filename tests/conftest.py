"""What every test shares: hypothesis' profiles, and a marker from the folder that a test lives in."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import tools

# No deadlines: a test says nothing about the time that it took.
settings.register_profile("short", deadline=None)
settings.register_profile("long", deadline=None, max_examples=20_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if tools.CI else "short")  # hypothesis' own "ci": no deadlines, the same examples every time

MARKED_FOLDERS = {"e2e", "fuzz", "bench"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for folder in MARKED_FOLDERS.intersection(item.path.relative_to(Path(__file__).parent).parts[:1]):
            item.add_marker(folder)

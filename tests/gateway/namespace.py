"""A network namespace of a test's own, so that rules and queues are nobody else's."""

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.tools import need, need_namespaces


def alone[T](what: Callable[[], T]) -> T:
    """Call something in a thread that has a network of its own; what it starts has it too."""
    need_namespaces()

    def moved() -> T:
        os.unshare(os.CLONE_NEWNET)
        subprocess.run([need("ip"), "link", "set", "lo", "up"], check=True)
        return what()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(moved).result()

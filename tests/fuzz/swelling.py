"""Memory that a reader should not take, for the tests of the judges."""

from __future__ import annotations

import mmap


def touch_fresh_pages(size: int) -> None:
    """Have the process grow by `size` bytes for a moment.

    Straight from the system: what a library takes may be memory that an earlier test has left with the process.
    """
    with mmap.mmap(-1, size) as pages:
        for start in range(0, size, mmap.PAGESIZE):
            pages[start] = 1

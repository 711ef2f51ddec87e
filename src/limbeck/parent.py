"""Processes that end with the one that started them, however that came about."""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait


def end_with_parent(told: Connection | None = None) -> None:
    """Have this process end as soon as its parent does: one whose parent was killed would work on, or wait for ever.

    Args:
        told: where the parent says that this process shall end before that.
    """
    threading.Thread(target=_wait_and_end, args=(told,), name="parent", daemon=True).start()


def _wait_and_end(told: Connection | None) -> None:
    parent = parent_process()
    assert parent is not None, "only a process that multiprocessing started has a parent"
    wait([parent.sentinel] if told is None else [parent.sentinel, told])
    os._exit(1)

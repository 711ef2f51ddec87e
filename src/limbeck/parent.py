"""Processes that end with the one that started them, however that came about."""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process


def end_with_parent() -> None:
    """Have this process end as soon as its parent does: one whose parent was killed would work on, or wait for ever."""
    threading.Thread(target=_wait_and_end, name="parent", daemon=True).start()


def _wait_and_end() -> None:
    parent = parent_process()
    assert parent is not None, "only a process that multiprocessing started has a parent"
    parent.join()
    os._exit(1)

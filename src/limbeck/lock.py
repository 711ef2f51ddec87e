"""A file that one process holds against all others."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HELD: set[int] = set()


def _let_go() -> None:
    for descriptor in _HELD:
        os.close(descriptor)
    _HELD.clear()


# A lock lasts as long as any process that has it open; those that read crops may outlive the one that they work for.
os.register_at_fork(after_in_child=_let_go)


@contextmanager
def held(path: Path, wait: bool = False) -> Iterator[bool]:
    """Hold a file; yields whether it is held. The file says by its number which process holds it.

    The system lets go of it when its holder ends, however that comes about.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        _HELD.add(descriptor)
        os.ftruncate(descriptor, 0)
        with suppress(OSError):
            # On a full disk whatever is written next tells, and names itself.
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield True
        os.ftruncate(descriptor, 0)
    finally:
        _HELD.discard(descriptor)
        os.close(descriptor)


def holder(path: Path) -> str:
    """The number of the process that holds a file, as far as it is known."""
    return path.read_text(encoding="utf-8").strip() or "unknown"

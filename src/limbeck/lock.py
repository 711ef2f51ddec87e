"""A file that one process holds against all others."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HELD: set[int] = set()
_TRIES = 100


def _let_go() -> None:
    for descriptor in _HELD:
        os.close(descriptor)
    _HELD.clear()


# A lock lasts as long as any process that has it open; those that read crops may outlive the one that they work for.
os.register_at_fork(after_in_child=_let_go)


@contextmanager
def held(path: Path, wait: bool = False, *, leave: bool = True) -> Iterator[bool]:
    """Hold a file; yields whether it is held. The file says by its number which process holds it.

    The system lets go of it when its holder ends, however that comes about.

    Args:
        path: the file; it is made, and its folders.
        wait: until it is free.
        leave: let the file lie. Otherwise its holder takes it away at the end, and its folder if that is empty.
    """
    descriptor = _opened(path)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            if _lies_there(descriptor, path):
                break
            # Whoever held it has taken it away: what is held now is nobody's any more.
            nobodys, descriptor = descriptor, _opened(path)
            os.close(nobodys)
        _HELD.add(descriptor)
        os.ftruncate(descriptor, 0)
        with suppress(OSError):
            # On a full disk whatever is written next tells, and names itself.
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        try:
            yield True
        finally:
            if not leave:
                path.unlink(missing_ok=True)
                with suppress(OSError):
                    path.parent.rmdir()
        os.ftruncate(descriptor, 0)
    finally:
        _HELD.discard(descriptor)
        os.close(descriptor)


def holder(path: Path) -> str:
    """The number of the process that holds a file, as far as it is known."""
    try:
        return path.read_text(encoding="utf-8").strip() or "unknown"
    except FileNotFoundError:
        return "unknown"


def _opened(path: Path) -> int:
    for _ in range(_TRIES):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            # Its folder may be taken away in between.
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    raise FileNotFoundError(f"{path.parent} is taken away again and again")


def _lies_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False

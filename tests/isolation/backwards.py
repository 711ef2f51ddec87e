"""A file system that names what lies in a folder the other way round: the order is nobody's promise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any


class _Entries:
    """What `os.scandir` gives, from the last to the first by name."""

    def __init__(self, entries: Any) -> None:
        with entries:
            self._entries: Iterator[os.DirEntry[str]] = iter(
                sorted(entries, key=lambda entry: entry.name, reverse=True)
            )

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return self._entries

    def __next__(self) -> os.DirEntry[str]:
        return next(self._entries)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())


def turned() -> dict[str, Any]:
    """Functions of `os` by name, as they are then."""
    scandir, listdir = os.scandir, os.listdir
    return {
        "scandir": lambda path=".": _Entries(scandir(path)),
        "listdir": lambda path=".": sorted(listdir(path), reverse=True),
    }

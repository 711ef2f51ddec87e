"""Files below a folder, as importers look for them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from limbeck.data.source import shown
from limbeck.errors import DataError


def files(folder: Path, depth: int, leave: Collection[str] = ()) -> Iterator[Path]:
    """Files of a folder and of the folders in it, level by level, the shallow ones first.

    Links are followed, but no folder is entered twice, so a loop of links ends; a folder itself is met before links to
    it. A link that leads nowhere counts as a file, since a scan that is lost must not pass for one that never was.

    Args:
        folder: where to begin.
        depth: levels to look at; 1 is the folder alone.
        leave: names of folders that are not entered. Hidden files and folders are left in any case.

    Raises:
        DataError: a folder cannot be read.
    """
    entered: set[tuple[int, int]] = set()
    level = [folder]
    for _ in range(depth):
        below: list[os.DirEntry[str]] = []
        for place in level:
            if not _is_new(place, entered):
                continue
            for entry in _entries(place):
                if not _is_folder(entry):
                    yield Path(entry.path)
                elif entry.name not in leave:
                    below.append(entry)
        level = [Path(entry.path) for entry in sorted(below, key=lambda entry: (entry.is_symlink(), entry.path))]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, in the order of names, without hidden entries, devices and pipes."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be read ({error.strerror}): check its permissions") from error
    return [entry for entry in found if _is_folder(entry) or entry.is_symlink() or entry.is_file()]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads back to itself.
        return False


def _is_new(folder: Path, entered: set[tuple[int, int]]) -> bool:
    try:
        state = folder.stat()
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be read ({error.strerror}): check its permissions") from error
    identity = (state.st_dev, state.st_ino)
    if identity in entered:
        return False
    entered.add(identity)
    return True

"""Kinds of arguments that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from limbeck.errors import UsageError


def at_least(smallest: int) -> Callable[[str], int]:
    """A type for argparse: a whole number that is no smaller."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = smallest - 1
        if number < smallest:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least {smallest}")
        return number

    return parse


class Once(argparse.Action):
    """Store a value, and refuse a second one, which argparse would let win in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Store the value.

        Raises:
            UsageError: there is one already.
        """
        if getattr(namespace, self.dest, None) is not None:
            raise UsageError(f"{option_string} is given twice: {getattr(namespace, self.dest)} and {values}")
        setattr(namespace, self.dest, values)


def check_file(target: Path, endings: tuple[str, ...] = (), overwrite: bool = True) -> None:
    """Refuse a place that no file can or should be written to, before work is done for it.

    Raises:
        UsageError: the path is a folder, lies below a file, has none of the endings, or exists and may not be replaced.
    """
    if target.is_dir():
        raise UsageError(f"output {target} is a folder: expected the name of a file")
    if endings and not target.name.endswith(endings):
        raise UsageError(f"output {target}: expected a name that ends in {' or '.join(endings)}")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists: give --overwrite to replace it")
    check_folder(target.parent)


def check_folder(target: Path) -> None:
    """Refuse a place where no folder can be, before work is done for it.

    Raises:
        UsageError: the path, or one above it, is a file.
    """
    for place in (target, *target.parents):
        if place.exists() and not place.is_dir():
            raise UsageError(f"output folder {target}: {place} is a file: expected a folder, or a new name")

"""Errors that end a command: one line that names the thing, what was found and what would be right.

Each class carries the exit code of the public contract, so the command line needs no table of its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LimbeckError(Exception):
    """A foreseen failure; its text is the one line that the user sees."""

    exit_code = 1


class UsageError(LimbeckError):
    """The command or a setting is wrong: exit code 2."""

    exit_code = 2


class DataError(LimbeckError):
    """Input data is missing or invalid: exit code 3."""

    exit_code = 3


class ModelError(LimbeckError):
    """A model or run is missing or invalid: exit code 4."""

    exit_code = 4


class ResourceError(LimbeckError):
    """Out of memory or disk: exit code 5."""

    exit_code = 5


class PartialError(LimbeckError):
    """Some cases of a batch failed; the others are written: exit code 6."""

    exit_code = 6


def require(holds: bool, name: str, value: object, right: str) -> None:
    """Refuse a setting out of its range.

    Raises:
        UsageError: it does not hold; the message names the setting, its value, and what would be right.
    """
    if not holds:
        raise UsageError(f"setting {name} is {value}: expected {right}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error line: `; did you mean 'x'?` for the nearest known name, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""

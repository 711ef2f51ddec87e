"""The closed list of methods. Naming them imports no torch; building one does."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.errors import UsageError, nearest

if TYPE_CHECKING:
    from limbeck.methods.base import Context, Method


@dataclass(frozen=True)
class Entry:
    """What `limbeck methods` shows of a method, and where its class is found.

    Attributes:
        class_name: the class in the module of the method's own name.
        paper: the publication that the file can be read against, or that it has none.
        teacher: what teaches it.
        subsets: which subsets of the sequences it serves.
        summary: the idea in a line.
    """

    class_name: str
    paper: str
    teacher: str
    subsets: str
    summary: str


METHODS: dict[str, Entry] = {
    "supervised": Entry(
        "Supervised",
        "no paper: the yardstick",
        "none",
        "any one of the 15",
        "a network for a fixed subset: the teacher with all, the lower bound with few",
    ),
    "dropout": Entry(
        "Dropout",
        "no paper: the strong simple rival",
        "none",
        "all 15 with one network",
        "random sequence dropout: one network for whatever sequences exist",
    ),
    "gkd": Entry(
        "GKD",
        "Xiong, Shen, Wang, Electronics 2023, 12(7), 1516",
        "one frozen, all four sequences (supervised)",
        "any one of the 15",
        "soft labels and cascade region attention from a frozen teacher",
    ),
}


def find(name: str) -> type[Method[Any]]:
    """The class of a method.

    Raises:
        UsageError: the name is not in the list; the message gives the nearest.
    """
    if name not in METHODS:
        known = ", ".join(METHODS)
        raise UsageError(f"unknown method {name!r}: expected one of {known}{nearest(name, METHODS)}")
    found: type[Method[Any]] = getattr(importlib.import_module(f"limbeck.methods.{name}"), METHODS[name].class_name)
    return found


def build(name: str, settings: Any, context: Context) -> Method[Any]:
    """Make a method with fresh weights; `settings` is an instance of the method's own `Settings`."""
    return find(name)(settings, context)

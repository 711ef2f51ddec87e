"""Layouts of data sets, and how to find cases in them. A layout is one module and one entry in `IMPORTERS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from limbeck.data.case import Case
from limbeck.data.importers import brats, msd
from limbeck.errors import DataError, UsageError, nearest


@dataclass(frozen=True)
class Importer:
    """How to read one layout.

    Attributes:
        name: what the layout is called on the command line.
        explanation: how its files are named, in a line.
        detect: whether a folder looks like it.
        find: the cases in a folder; reads no image.
        scheme: name of the label scheme (`anatomy.LABEL_SCHEMES`) that a folder's segmentations use.
    """

    name: str
    explanation: str
    detect: Callable[[Path], bool]
    find: Callable[[Path], list[Case]]
    scheme: Callable[[Path], str]


IMPORTERS: MappingProxyType[str, Importer] = MappingProxyType(
    {
        "msd": Importer("msd", msd.EXPLANATION, msd.detect, msd.find, msd.scheme),
        "brats": Importer("brats", brats.EXPLANATION, brats.detect, brats.find, brats.scheme),
    }
)


def detect_layout(folder: Path, layout: str = "auto") -> tuple[Importer, str]:
    """The importer for a folder, and why it was chosen, in a line for the user.

    Where several fit, the most explicit wins: one with a manifest file before one that goes by file names.

    Raises:
        DataError: the folder is missing, or looks like no layout that is known.
        UsageError: a layout is named that does not exist.
    """
    folder = Path(folder)
    if layout != "auto" and layout not in IMPORTERS:
        known = ["auto", *IMPORTERS]
        raise UsageError(f"unknown layout {layout!r}: expected {', '.join(known)}{nearest(layout, known)}")
    if not folder.is_dir():
        found = "is a file" if folder.is_file() else "no such folder"
        raise DataError(f"{folder}: {found}: expected the folder of a data set")
    if layout != "auto":
        return IMPORTERS[layout], f"layout {layout}, as told"
    fitting = [importer for importer in IMPORTERS.values() if importer.detect(folder)]
    if not fitting:
        looked_for = "; ".join(f"{importer.name} ({importer.explanation})" for importer in IMPORTERS.values())
        raise DataError(f"{folder}: no known layout: looked for {looked_for}")
    others = ", ".join(importer.name for importer in fitting[1:])
    also = f"; {others} would fit too: choose with --layout" if others else ""
    return fitting[0], f"layout {fitting[0].name}: {fitting[0].explanation}{also}"

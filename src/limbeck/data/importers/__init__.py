"""Layouts of data sets, and how to find cases in them. A layout is one module and one entry in `IMPORTERS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from limbeck.data.case import Case
from limbeck.data.importers import bids, brats, msd, nnunet, table
from limbeck.data.importers.codes import Codes, Naming, settle
from limbeck.data.importers.files import files
from limbeck.data.source import looked_up, shown, suffix
from limbeck.errors import DataError, UsageError, nearest

_NAME_THEM = "name it by its case and one word for the sequence, such as P001_t1ce, or list files in a table"


def _nothing(source: Path) -> str:
    del source
    return ""


def _none(source: Path) -> list[Path]:
    del source
    return []


@dataclass(frozen=True)
class Importer:
    """How to read one layout.

    Attributes:
        name: what the layout is called on the command line.
        explanation: how its files are named, in a line.
        detect: whether a folder (or the file of a table) looks like it.
        find: the cases in it; reads no image.
        naming: what the names in it say about the codes of the segmentations.
        remark: what else the user should know of how it is read; empty if nothing.
        left_aside: volumes that are of no case by their names.
    """

    name: str
    explanation: str
    detect: Callable[[Path], bool]
    find: Callable[[Path], list[Case]]
    naming: Callable[[Path], Naming]
    remark: Callable[[Path], str] = _nothing
    left_aside: Callable[[Path], list[Path]] = _none

    def scheme(self, source: Path) -> str:
        """Name of the label scheme (`anatomy.LABEL_SCHEMES`) that the segmentations use; as `codes`."""
        return self.codes(source).scheme

    def codes(self, source: Path, cases: Sequence[Case] | None = None) -> Codes:
        """The label scheme that the segmentations use, and why: by names first, then by a look at some of them.

        Args:
            source: the folder or table.
            cases: what `find` gave for it, if that is known.

        Raises:
            DataError: as `find`; or names and segmentations contradict one another, or leave the codes open.
        """
        return settle(self.naming(source), self.find(source) if cases is None else cases, source)

    def overlooked(self, source: Path) -> tuple[str, str] | None:
        """How many volumes are left aside and which, and what to do about it; None if none are.

        Raises:
            DataError: a folder cannot be read.
        """
        others = self.left_aside(source)
        if not others:
            return None
        examples = " and ".join(shown(path.relative_to(source)) for path in (others[0], others[-1])[: len(others)])
        many = "image files are" if others[1:] else "image file is"
        return f"{len(others)} {many} of no case, such as {examples}", _NAME_THEM


IMPORTERS: MappingProxyType[str, Importer] = MappingProxyType(
    {
        "msd": Importer("msd", msd.EXPLANATION, msd.detect, msd.find, msd.naming),
        "nnunet": Importer("nnunet", nnunet.EXPLANATION, nnunet.detect, nnunet.find, nnunet.naming),
        "bids": Importer("bids", bids.EXPLANATION, bids.detect, bids.find, bids.naming, bids.remark),
        "brats": Importer(
            "brats", brats.EXPLANATION, brats.detect, brats.find, brats.naming, brats.remark, brats.left_aside
        ),
        "table": Importer("table", table.EXPLANATION, table.detect, table.find, table.naming, table.remark),
    }
)


def detect_layout(source: Path, layout: str = "auto") -> tuple[Importer, str]:
    """The importer for a folder, or for the file of a table, and why it was chosen, in a line for the user.

    Where several fit, the most explicit wins: one with a manifest file before one that goes by file names.

    Raises:
        DataError: the folder is missing or cannot be read, or looks like no layout that is known.
        UsageError: a layout is named that does not exist.
    """
    source = Path(source)
    if layout != "auto" and layout not in IMPORTERS:
        known = ["auto", *IMPORTERS]
        raise UsageError(f"unknown layout {layout!r}: expected {', '.join(known)}{nearest(layout, known)}")
    _check_source(source, layout)
    if layout != "auto":
        return IMPORTERS[layout], f"layout {layout}, as told{_remarked(IMPORTERS[layout], source)}"
    fitting = [importer for importer in IMPORTERS.values() if importer.detect(source)]
    if not fitting:
        raise DataError(_unknown(source))
    others = ", ".join(importer.name for importer in fitting[1:])
    also = f"; {others} would fit too: choose with --layout" if others else ""
    return fitting[0], f"layout {fitting[0].name}: {fitting[0].explanation}{_remarked(fitting[0], source)}{also}"


def _unknown(source: Path) -> str:
    """What lies in a folder of no known layout, and what would be one."""
    if (source / "cohort.json").is_file():
        return f"{shown(source)}: it is a cohort already: expected the folder of the data that it was imported from"
    looked_for = "; ".join(f"{importer.name} ({importer.explanation})" for importer in IMPORTERS.values())
    volumes = [path for path in files(source, 4) if suffix(path)]
    if not volumes:
        return f"{shown(source)}: no known layout: looked for {looked_for}"
    example = shown(volumes[0].relative_to(source))
    return (
        f"{shown(source)}: no known layout in {len(volumes)} image files, such as {example}: {_NAME_THEM}; "
        f"looked for {looked_for}"
    )


def _check_source(source: Path, layout: str) -> None:
    """Refuse what is neither a folder nor a table's file."""
    folder, _ = looked_up(source)
    if folder or (source.is_file() and layout in ("auto", "table") and table.detect(source)):
        return
    found = "is a file" if source.is_file() else "no such folder"
    raise DataError(f"{shown(source)}: {found}: expected the folder of a data set, or the CSV file of a table")


def _remarked(importer: Importer, source: Path) -> str:
    text = importer.remark(source)
    return f"; {text}" if text else ""

"""Read the published tables: an index of what they are, and one file of values for each.

The values are those that the papers print, also where a printed mean is not the mean of its rows: such errata stand in
the notes of the index. A system that Limbeck has goes by its name in `limbeck methods`, and a network trained on the
segmentation alone (Baseline, Unimodal) is `supervised`; every other system goes by its own name.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from limbeck.anatomy import Subset
from limbeck.errors import UsageError, nearest

# What stands in place of a region, or of a subset, where the paper prints a mean over them.
MEAN = "mean"


@dataclass(frozen=True)
class PublishedTable:
    """What a table is, and what its values may be compared with.

    Attributes:
        id: its name here, which is also its file's: `rirn-table1`.
        paper: the method whose paper it is, by its name in `limbeck methods`.
        number: the table's number in the paper, or `abstract` or `repository`.
        title: what it shows.
        dataset: the cases.
        split: which of them trained, chose and were reported.
        crop_and_metric: what the networks saw, and what was scored how.
        source: the publication, or the authors' repository.
        comparable_with: ids of the tables that share cases and protocol; none means comparable with nothing.
        notes: how names were carried over, errata, and limits of comparison.
    """

    id: str
    paper: str
    number: str
    title: str
    dataset: str
    split: str
    crop_and_metric: str
    source: str
    comparable_with: tuple[str, ...]
    notes: str


@dataclass(frozen=True)
class PublishedRow:
    """One printed value.

    Attributes:
        method: the system, in Limbeck's spelling if it has it.
        variant: which part or setting of it; empty for the system as its paper proposes it.
        subset: the sequences that the prediction saw; none for a mean over all 15 and for a count.
        region: `WT`, `TC`, `ET`, `NCR`, `ED`, or `mean` over the first three; empty for a count.
        measure: `dice_percent`, `parameters_millions` or `gmac`.
        value: a number with the decimals that were printed.
    """

    method: str
    variant: str
    subset: Subset | None
    region: str
    measure: str
    value: str


@cache
def tables() -> Mapping[str, PublishedTable]:
    """Every published table by its id, paper after paper."""
    found = [_table(cells) for cells in _cells("index")]
    return MappingProxyType({table.id: table for table in found})


def read(id: str) -> list[PublishedRow]:
    """The values of one table, in the order of the paper.

    Raises:
        UsageError: there is no such table; the message names the nearest.
    """
    if id not in tables():
        known = ", ".join(tables())
        raise UsageError(f"unknown published table {id!r}: expected one of {known}{nearest(id, tables())}")
    return [_row(cells) for cells in _cells(id)]


def of(method: str) -> list[PublishedTable]:
    """The tables of a method's paper, in its order; none for a method without one."""
    return [table for table in tables().values() if table.paper == method]


def _cells(name: str) -> list[dict[str, str]]:
    text = files("limbeck.evaluation.published").joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines(), strict=True))


def _table(cells: dict[str, str]) -> PublishedTable:
    return PublishedTable(
        id=cells["id"],
        paper=cells["paper"],
        number=cells["number"],
        title=cells["title"],
        dataset=cells["dataset"],
        split=cells["split"],
        crop_and_metric=cells["crop_and_metric"],
        source=cells["source"],
        comparable_with=tuple(cells["comparable_with"].split()),
        notes=cells["notes"],
    )


def _row(cells: dict[str, str]) -> PublishedRow:
    return PublishedRow(
        method=cells["method"],
        variant=cells["variant"],
        subset=None if cells["subset"] in ("", MEAN) else Subset.parse(cells["subset"]),
        region=cells["region"],
        measure=cells["measure"],
        value=cells["value"],
    )

"""Which rows may stand in one table: those that were made by the same rules from the same cohort."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from limbeck.anatomy import Subset
from limbeck.errors import DataError, UsageError
from limbeck.evaluation.table import RAW, Row

# Label, subset and step: what a line of a table stands for.
LineKey: TypeAlias = tuple[str, Subset, str]


class Origin(NamedTuple):
    """What all values of a table share.

    Attributes:
        protocol: name and version of the rules that they were scored by.
        data: the hash of their cohort; empty for values that come from elsewhere.
    """

    protocol: str
    data: str

    @property
    def cohort(self) -> str:
        """The cohort in words, short enough for a line."""
        return f"cohort {self.data[:12]}" if self.data else "a cohort that the rows do not name"


def split(rows: Iterable[Row]) -> dict[Origin, list[Row]]:
    """The rows of each protocol and cohort, for tables of their own, in the order in which they first stand."""
    found: dict[Origin, list[Row]] = {}
    for row in rows:
        found.setdefault(Origin(row.protocol, row.data), []).append(row)
    return found


def origin(rows: Iterable[Row]) -> Origin:
    """The protocol and cohort that all rows share.

    Raises:
        UsageError: there are several, which must not be compared in one table; the message names two.
    """
    first, *others = split(rows) or [Origin("", "")]
    for other in others:
        if other.protocol != first.protocol:
            raise UsageError(
                f"the results hold rows of protocol {first.protocol} and of {other.protocol}; "
                "expected one protocol in a table"
            )
        raise UsageError(
            f"the results hold rows of {first.cohort} and of {other.cohort}; expected one cohort in a table"
        )
    return first


def step(processing: str) -> str:
    """The step without its setting: `et>=120mm3` is `et`.

    A threshold is chosen for each run on its own validation cases, so the folds of one method may differ in it and
    still are one line of a table.
    """
    return processing if processing == RAW else processing.partition(">=")[0]


def by_line(rows: Iterable[Row], labels: Mapping[str, str]) -> dict[LineKey, list[Row]]:
    """The rows of each label, subset and step, in the order in which they first stand.

    Args:
        rows: results.
        labels: run -> label; a run without one goes by its method's name.

    Raises:
        DataError: one of them covers the same fold, seed and case twice.
        UsageError: a label covers several methods.
    """
    lines: dict[LineKey, list[Row]] = {}
    for row in rows:
        lines.setdefault((labels.get(row.run, row.method), row.subset, step(row.processing)), []).append(row)
    for (label, subset, _), members in lines.items():
        _refuse_mixture(label, subset, members)
    return lines


def _refuse_mixture(label: str, subset: Subset, rows: Sequence[Row]) -> None:
    methods = sorted({row.method for row in rows})
    if len(methods) > 1:
        raise UsageError(f"label {label!r} covers the methods {', '.join(methods)}; expected a label for each")
    seen: dict[tuple[object, ...], str] = {}
    for row in rows:
        key, source = _place(row), row.run if row.processing == RAW else f"{row.run} ({row.processing})"
        if key in seen and seen[key] != source:
            raise DataError(
                f"runs {seen[key]!r} and {source!r} both stand for {label!r} from {subset}, fold {row.fold}, "
                f"seed {row.seed}; expected a label for each"
            )
        if key in seen:
            raise DataError(f"run {source!r} has case {row.case} from {subset} twice: expected each results file once")
        seen[key] = source


def _place(row: Row) -> tuple[object, ...]:
    return row.fold, row.seed, row.case, row.region, row.metric

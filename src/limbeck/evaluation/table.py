"""The table of results: one row for each measured value, and the only door between evaluation and report.

The file is plain CSV. Each line carries the schema number, so that files can be joined with any tool and a reader of
another version still sees what it holds.
"""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

from limbeck import durable
from limbeck.anatomy import Region, Subset
from limbeck.errors import DataError, LimbeckError, UsageError, nearest

SCHEMA = 2

RAW = "raw"
STRICT = "strict-1"

BOTH_EMPTY = "both empty"
REFERENCE_EMPTY = "reference empty"
PREDICTION_EMPTY = "prediction empty"
NOTES = (BOTH_EMPTY, REFERENCE_EMPTY, PREDICTION_EMPTY)

# The BraTS challenge's penalty, about the diagonal of its 240 x 240 x 155 mm grid.
WORST_HD95_MM = 374.0

EMPTY_POLICY = (
    "Empty regions: empty in reference and prediction gives Dice 1 and HD95 0 mm; "
    f"empty in one of them gives Dice 0 and HD95 {WORST_HD95_MM:.0f} mm; "
    "every other ratio is treated as Dice is, and every other distance as HD95; lesion-wise scores follow their own "
    "rules. No case is left out."
)
HD95_DEFINITION = (
    "HD95: the surface of a region is its voxels with at least one of six face neighbours outside the region or the "
    "image; distances in mm run between voxel centres, from each surface voxel to the nearest of the other surface; "
    "the value is the larger of the two directions' 95th percentiles (linear interpolation)."
)
_SURFACE_DICE = (
    "Surface Dice at {0} mm: the share of the surface voxels of both sides that lie within {0} mm of the other surface "
    "(surfaces and distances as for HD95; each voxel counts once, whatever area it stands for)."
)
_LESIONS = (
    "by the rules of BraTS 2023: predicted lesions are 26-connected parts; reference lesions are joined where their "
    "dilations touch (three steps of one voxel over faces and edges); a reference lesion is scored against all "
    "predicted lesions that reach its dilation; reference lesions up to 50 mm³ are not counted; a predicted lesion "
    "that reaches no reference lesion is a false positive; the value is the sum over counted reference lesions and "
    "false positives over their number"
)
# What a caption says of each metric: every name of `metrics.METRICS` has its sentence.
DEFINITIONS: MappingProxyType[str, str] = MappingProxyType(
    {
        "dice": "Dice: twice the voxels in both over the sum of prediction and reference, by volume.",
        "hd95_mm": HD95_DEFINITION,
        "msd_mm": (
            "Mean surface distance: the mean in mm over all surface voxels of both sides, taken together, of the "
            "distance to the other surface (surfaces and distances as for HD95)."
        ),
        "surface_dice_1mm": _SURFACE_DICE.format(1),
        "surface_dice_2mm": _SURFACE_DICE.format(2),
        "sensitivity": "Sensitivity: the share of the reference that the prediction finds, by volume.",
        "precision": "Precision: the share of the prediction that lies in the reference, by volume.",
        "volume_error_ml": (
            "Volume error: the predicted minus the reference volume in ml, so that too much is positive; an empty "
            "side has volume 0."
        ),
        "lesion_dice": (
            f"Lesion-wise Dice, {_LESIONS}; a missed lesion and a false positive score 0; with nothing to count, 1."
        ),
        "lesion_hd95_mm": (
            f"Lesion-wise HD95, {_LESIONS}; a missed lesion and a false positive score {WORST_HD95_MM:.0f} mm; with "
            "nothing to count, 0 mm. The HD95 of a lesion is defined as that of a region."
        ),
        "legacy_slice_mean": (
            "Legacy slice mean: the mean Dice of the image's sagittal slices, where a slice that is empty on both "
            "sides counts 1. It flatters, and serves only to stand beside MTCM-KD's published numbers."
        ),
    }
)


def definition(metric: str) -> str:
    """What a table's caption says of a metric.

    Raises:
        UsageError: no such metric is known; names the nearest.
    """
    if metric not in DEFINITIONS:
        raise UsageError(
            f"no definition of metric {metric!r}: expected {', '.join(DEFINITIONS)}{nearest(metric, DEFINITIONS)}"
        )
    return DEFINITIONS[metric]


# Slots, since there may be millions.
@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one region of one case, predicted by one run from one subset of the sequences.

    Attributes:
        run: the run's name, which is its folder's.
        method: the method's name in `limbeck methods`.
        fold: the fold that was held out, from 0.
        seed: the run's random seed.
        case: the case's name in its cohort.
        subset: the sequences that the prediction saw.
        region: the tumour region.
        metric: the metric's name in `metrics.METRICS`, which carries its unit.
        value: finite.
        note: which side was empty: one of `NOTES`, or nothing.
        processing: what was done to the prediction before it was scored: `raw`, or the name of a step.
        protocol: name and version of the rules that it was scored by.
        data: the hash of the cohort that the case lies in; empty for values that come from elsewhere.
    """

    run: str
    method: str
    fold: int
    seed: int
    case: str
    subset: Subset
    region: Region
    metric: str
    value: float
    note: str = ""
    processing: str = RAW
    protocol: str = STRICT
    data: str = ""

    def __post_init__(self) -> None:
        """Refuse what no table may hold.

        Raises:
            DataError: a name is empty, the value is not finite or the note is unknown.
        """
        for name in ("run", "method", "case", "metric", "processing", "protocol"):
            if not getattr(self, name):
                raise DataError(f"{name} is empty: expected a name")
        if not math.isfinite(self.value):
            raise DataError(f"value is {self.value}: expected a finite number")
        if self.note and self.note not in NOTES:
            raise DataError(f"note is {self.note!r}: expected {', '.join(map(repr, NOTES))} or nothing")

    @property
    def key(self) -> tuple[str, str, int, int, int, str, str, str, int, str]:
        """What was measured, apart from the outcome; rows are written in its order."""
        return (
            self.run,
            self.method,
            self.fold,
            self.seed,
            _SUBSET_ORDER[self.subset],
            self.protocol,
            self.processing,
            self.case,
            int(self.region),
            self.metric,
        )


COLUMNS = ("schema", *(field.name for field in fields(Row)))
_SUBSET_ORDER = {subset: position for position, subset in enumerate(Subset.every())}
_SUBSETS = {str(subset): subset for subset in _SUBSET_ORDER}


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV, durably, in an order that does not depend on the order of evaluation.

    Raises:
        DataError: there are no rows, or two of them measure the same thing.
    """
    ordered = sorted(rows, key=lambda row: row.key)
    if not ordered:
        raise DataError(f"{path}: no results to write; expected at least one row")
    for before, after in pairwise(ordered):
        if before.key == after.key:
            raise DataError(f"{path}: {_describe(after)} was measured twice; expected once")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in ordered:
        # repr of a float is the shortest text that reads back as the same number.
        measured = (row.subset, row.region.name, row.metric, repr(float(row.value)), row.note)
        rules = (row.processing, row.protocol, row.data)
        writer.writerow((SCHEMA, row.run, row.method, row.fold, row.seed, row.case, *measured, *rules))
    durable.write_text(path, stream.getvalue())


def read(path: Path) -> list[Row]:
    """Read a table of results.

    Raises:
        DataError: the file is missing, no text, without rows, has another header or schema, or holds a wrong value
            or a repeated row; the message names the file and the line.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file: expected a table that limbeck evaluate has written")
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            return _parse(Path(path), _numbered(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table of results: {error}") from error


def holds_rows(path: Path) -> bool:
    """Whether a file is a table of results, by its first line."""
    try:
        with Path(path).open(encoding="utf-8-sig", errors="replace") as stream:
            return stream.readline().strip() == ",".join(COLUMNS)
    except OSError:
        return False


def _numbered(stream: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(stream)
    for cells in reader:
        yield reader.line_num, cells


def _parse(path: Path, lines: Iterator[tuple[int, list[str]]]) -> list[Row]:
    _, header = next(lines, (1, []))
    if tuple(header) != COLUMNS:
        found = ",".join(header) or "nothing"
        raise DataError(f"{path}, line 1: found the header {found!r}; expected {','.join(COLUMNS)!r}")
    rows: list[Row] = []
    numbers: list[int] = []
    for line, cells in lines:
        try:
            rows.append(_row(cells))
        except LimbeckError as error:
            raise DataError(f"{path}, line {line}: {error}") from error
        numbers.append(line)
    if not rows:
        raise DataError(f"{path}: holds a header and no results; expected at least one row")
    # As `write` leaves them, no two are the same; what was joined or edited by other tools may hold some twice.
    if not all(before.key < after.key for before, after in pairwise(rows)):
        _refuse_repeats(path, rows, numbers)
    return rows


def _refuse_repeats(path: Path, rows: Sequence[Row], numbers: Sequence[int]) -> None:
    first_line: dict[object, int] = {}
    for row, line in zip(rows, numbers, strict=True):
        if (first := first_line.setdefault(row.key, line)) != line:
            raise DataError(f"{path}, line {line}: repeats line {first}: {_describe(row)}")


def _row(cells: list[str]) -> Row:
    if len(cells) != len(COLUMNS):
        raise DataError(f"found {len(cells)} cells; expected {len(COLUMNS)}")
    # A name stands in many rows, and is kept once.
    named = dict(zip(COLUMNS, map(sys.intern, cells), strict=True))
    if named["schema"] != str(SCHEMA):
        raise DataError(f"found schema {named['schema']!r}; this version reads {SCHEMA}")
    if named["region"] not in Region.__members__:
        raise DataError(f"found region {named['region']!r}; expected {', '.join(Region.__members__)}")
    return Row(
        run=named["run"],
        method=named["method"],
        fold=_whole(named, "fold"),
        seed=_whole(named, "seed"),
        case=named["case"],
        subset=_SUBSETS.get(named["subset"]) or Subset.parse(named["subset"]),
        region=Region[named["region"]],
        metric=named["metric"],
        value=_number(named, "value"),
        note=named["note"],
        processing=named["processing"],
        protocol=named["protocol"],
        data=named["data"],
    )


def _whole(named: dict[str, str], column: str) -> int:
    try:
        return int(named[column])
    except ValueError:
        raise DataError(f"found {column} {named[column]!r}; expected a whole number") from None


def _number(named: dict[str, str], column: str) -> float:
    try:
        return float(named[column])
    except ValueError:
        raise DataError(f"found {column} {named[column]!r}; expected a number") from None


def _describe(row: Row) -> str:
    return f"{row.metric} of {row.region.name} in case {row.case!r} from {row.subset} by run {row.run!r}"

"""A table of paths: a CSV file with a row for each case and a column for each sequence."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from limbeck.anatomy import MODALITY_ALIASES, Modality
from limbeck.data.case import Case, Source
from limbeck.data.importers import patients
from limbeck.data.importers.codes import Naming
from limbeck.data.importers.files import files
from limbeck.data.source import shown
from limbeck.errors import DataError

EXPLANATION = "a CSV file with columns case, flair, t1, t1ce, t2, seg, and patient if it is known"
SUFFIXES = (".csv", ".tsv")

_DELIMITERS = ",;\t"
_CASE = ("case", "caseid", "id", "name")
_SUBJECT = ("subject", "subjectid")
_PATIENT = ("patient", "patientid", "participant", "participantid")
_LABELS = ("seg", "segm", "segmentation", "label", "labels", "mask")
_EMPTY = ("", "n/a", "na")


@dataclass(frozen=True)
class _Columns:
    """Which column, by number, holds what; -1 for what no column holds."""

    case: int
    patient: int
    labels: int
    images: Mapping[Modality, int]
    unknown: tuple[str, ...]


def detect(source: Path) -> bool:
    """Whether this is a CSV file, or a folder with one in it that has the columns of a table of cases."""
    return source.suffix.lower() in SUFFIXES if source.is_file() else _only_table(source) is not None


def find(source: Path) -> list[Case]:
    """The cases of a table, by name; paths go from the table's own folder. No image is read.

    Raises:
        DataError: the table cannot be read, or lacks columns; a row has no name, too many cells or no sequence, or
            names a case again; a line for each.
    """
    path = _table(source)
    header, rows = _read(path)
    columns = _columns(path, header)
    problems: list[str] = []
    cases: dict[str, Case] = {}
    for number, row in rows:
        cells = row + [""] * (len(header) - len(row))
        case = _case(path.parent, cells, columns)
        if len(row) > len(header):
            problems.append(
                f"{shown(path)}: line {number} has {len(row)} cells: expected {len(header)}, as in the first line"
            )
        elif not case.id:
            problems.append(f"{shown(path)}: line {number} has no case: expected its name")
        elif case.id in cases:
            problems.append(f"{shown(path)}: line {number} is case {case.id} again: give each case its own name")
        elif not case.images:
            problems.append(f"{shown(path)}: line {number}, case {case.id}, names no scan: expected one at least")
        cases[case.id] = case
    if problems:
        raise DataError("\n".join(problems))
    return [cases[name] for name in sorted(cases)]


def naming(source: Path) -> Naming:
    """A table says nothing about label codes."""
    del source
    return Naming("", "a table tells nothing of codes")


def remark(source: Path) -> str:
    """Which columns are read, and which are not.

    Raises:
        DataError: the table cannot be read, or lacks columns.
    """
    path = _table(source)
    header, _ = _read(path)
    columns = _columns(path, header)
    numbers = [columns.case, columns.patient, *columns.images.values(), columns.labels]
    read = ", ".join(header[number] for number in dict.fromkeys(numbers) if number >= 0)
    unread = f"; not {', '.join(columns.unknown)}" if columns.unknown else ""
    return f"{path.name}: columns read: {read}{unread}"


def _case(folder: Path, cells: list[str], columns: _Columns) -> Case:
    def cell(number: int) -> str:
        text = cells[number].strip() if number >= 0 else ""
        return "" if text.lower() in _EMPTY else text

    name = cell(columns.case)
    images = {
        modality: Source(folder / cell(number)) for modality, number in sorted(columns.images.items()) if cell(number)
    }
    labels = Source(folder / cell(columns.labels)) if cell(columns.labels) else None
    return Case(name, cell(columns.patient) or patients.patient(name), images, labels)


def _columns(path: Path, header: list[str]) -> _Columns:
    keys = [name.strip().lower().replace("_", "").replace("-", "").replace(" ", "") for name in header]
    images: dict[Modality, int] = {}
    for number, key in enumerate(keys):
        modality = MODALITY_ALIASES.get(key)
        if modality in images:
            raise DataError(
                f"{shown(path)}: columns {header[images[modality]]} and {header[number]} are both {modality.role}"
            )
        if modality is not None:
            images[modality] = number
    # A subject is who was examined, unless nothing else names the case.
    case, subject, patient = (_one(path, header, keys, known) for known in (_CASE, _SUBJECT, _PATIENT))
    if patient < 0 <= case:
        patient = subject
    case = next((number for number in (case, subject, patient) if number >= 0), -1)
    labels = _one(path, header, keys, _LABELS)
    if case < 0 or not images:
        raise DataError(
            f"{shown(path)}: columns {', '.join(header)}: expected case and at least one of flair, t1, t1ce, t2; "
            "patient and seg if there are any"
        )
    known = {case, patient, labels, *images.values()}
    unknown = tuple(name or "one without a name" for number, name in enumerate(header) if number not in known)
    return _Columns(case, patient, labels, images, unknown)


def _one(path: Path, header: list[str], keys: list[str], known: tuple[str, ...]) -> int:
    found = [number for number, key in enumerate(keys) if key in known]
    if len(found) > 1:
        raise DataError(
            f"{shown(path)}: columns {header[found[0]]} and {header[found[1]]} say the same: keep one of them"
        )
    return found[0] if found else -1


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The first line's cells, and the number and cells of each line after it that is not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            delimiter = max(_DELIMITERS, key=first.count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror}): check its permissions") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)}: no table ({error}): expected CSV in UTF-8") from error
    if not lines:
        raise DataError(f"{shown(path)}: empty: expected a line of column names and a line for each case")
    return [name.strip() for name in lines[0][1]], lines[1:]


def _table(source: Path) -> Path:
    path = source if source.is_file() else _only_table(source)
    if path is None:
        names = ", ".join(table.name for table in sorted(_tables(source))[:3])
        if names:
            raise DataError(f"{shown(source)}: several tables of cases in it ({names}): name one of the files")
        raise DataError(f"{shown(source)}: no table of cases in it: expected one CSV file, {EXPLANATION}")
    return path


def _only_table(folder: Path) -> Path | None:
    """The one file in a folder that is a table of cases."""
    tables = _tables(folder)
    return tables[0] if len(tables) == 1 else None


def _tables(folder: Path) -> list[Path]:
    return [path for path in files(folder, 1) if path.suffix.lower() in SUFFIXES and _fits(path)]


def _fits(path: Path) -> bool:
    try:
        _columns(path, _read(path)[0])
    except DataError:
        return False
    return True

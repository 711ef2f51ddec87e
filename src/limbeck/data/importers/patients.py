"""Who was examined: cases of one patient share a patient's name, so that a split never parts them."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from limbeck.data.case import Case
from limbeck.data.source import shown
from limbeck.errors import DataError

# The last number of these names counts examinations of the same patient.
_EXAMINATION = re.compile(r"(?P<patient>BraTS1[789]_.+)_\d+|(?P<later>BraTS-[A-Z]+-\d+)-\d+", re.IGNORECASE)
_YEAR = re.compile(r"brats1[789]_", re.IGNORECASE)
# Columns of name_mapping.csv, such as BraTS_2019_subject_ID and TCGA_TCIA_subject_ID.
_NAMES = "_subject_id"
_NOBODY = ("", "na", "n/a", "nan")


def patient(case: str) -> str:
    """Who was examined: the case's name without the number of the examination, where the year's names have one."""
    match = _EXAMINATION.fullmatch(case)
    return (match["patient"] or match["later"]) if match else case


def joined(cases: Sequence[Case], tables: Iterable[Path]) -> list[Case]:
    """The cases, those of one patient with one patient's name, as BraTS's `name_mapping.csv` has it.

    A row gives the names of one examination in several years. Cases belong to one patient if names in their rows say
    so; the patient is then called as the first of them was. Cases that no row joins keep their patient.

    Raises:
        DataError: a table cannot be read.
    """
    leaders: dict[str, str] = {}
    for row in (row for table in tables for row in _rows(table)):
        people = [_person(name) for name in row]
        for person in people[1:]:
            leaders[_leader(person, leaders)] = _leader(people[0], leaders)
    together: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        # A case that no row names is in a group by its patient, as before.
        together[_leader(_person(case.id), leaders)].append(case)
    first = {case.id: min(other.patient for other in group) for group in together.values() for case in group}
    return [case if case.patient == first[case.id] else replace(case, patient=first[case.id]) for case in cases]


def _rows(table: Path) -> list[list[str]]:
    """The names in each row of a `name_mapping.csv`."""
    try:
        with table.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, csv.Error) as error:
        raise DataError(f"{shown(table)}: cannot be read ({error}): mend it or take it away") from error
    return [
        [
            value.strip()
            for column, value in row.items()
            if column and column.lower().endswith(_NAMES) and value and value.strip().lower() not in _NOBODY
        ]
        for row in rows
    ]


def _person(name: str) -> str:
    """A patient's name that is the same in every year: `Brats18_TCIA01_147_1` gives `tcia01_147`."""
    found = patient(name)
    return _YEAR.sub("", found).lower() if _YEAR.match(found) else found


def _leader(person: str, leaders: dict[str, str]) -> str:
    while leaders.setdefault(person, person) != person:
        person = leaders[person]
    return person

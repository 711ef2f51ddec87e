"""A folder of synthetic patients in the layout of a public data set, so that every importer can read it.

A case is written under a hidden name and renamed, as a folder or, where a layout has no folder for it, file by file.
Running again with the same settings makes what is missing; a folder made with other settings, or holding something
else, is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limbeck.anatomy import Modality
from limbeck.durable import lacks_space, left_behind, write_json
from limbeck.errors import DataError, ResourceError, UsageError, nearest
from limbeck.phantom.absence import absent
from limbeck.phantom.cavity import operated
from limbeck.phantom.layouts import LAYOUTS, has_cavities
from limbeck.phantom.patient import make
from limbeck.received import read_json
from limbeck.threads import processors
from limbeck.workers import Workers

VERSION = 7
"""Raised whenever the same seed gives other images."""

RECORD = "phantoms.json"
_BEGUN = ".phantoms.json"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Job:
    out: Path
    layout: str
    seed: int
    index: int
    spacing_mm: float
    missing: float
    cavities: float

    @property
    def name(self) -> str:
        return case_name(self.layout, self.index)

    @property
    def present(self) -> tuple[Modality, ...]:
        lacking = absent(self.seed, self.index, self.missing)
        return tuple(modality for modality in Modality if modality not in lacking)

    @property
    def whole(self) -> bool:
        return LAYOUTS[self.layout].whole(self.out, self.name, self.present)


def write(
    out: Path,
    cases: int,
    *,
    seed: int = 0,
    layout: str = "brats2021",
    spacing_mm: float = 1.0,
    missing: float = 0.0,
    cavities: float = 0.0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Make `cases` patients in `out` and give their names; whole cases that are already there are kept.

    Args:
        out: folder of the data set; made where it is missing.
        cases: how many patients the folder shall hold at least.
        seed: of the cohort; patient `i` depends on `(seed, i)` alone.
        layout: name in `layouts.LAYOUTS`.
        spacing_mm: voxel size; 1 gives 240 x 240 x 155.
        missing: share of patients who lack one to three sequences, 0..1; what they have is what they would have else.
        cavities: share of patients who were operated, 0..1; all but the hole is what it would be else.
        workers: processes; all processors when None. One works in this process.
        progress: called with the number of finished cases and `cases`.

    Raises:
        UsageError: a setting is impossible, or the folder was made with other settings or holds something else.
        ResourceError: the disk is full; the cases written so far are whole.
    """
    _check(cases, layout, spacing_mm)
    _check_shares(layout, missing, cavities)
    settings: dict[str, Any] = {"version": VERSION, "seed": seed, "layout": layout, "spacing_mm": float(spacing_mm)}
    # Shares of nobody are not named, as in the records of earlier versions.
    settings |= {name: float(share) for name, share in (("missing", missing), ("cavities", cavities)) if share}
    out = Path(out)
    _claim(out, settings)
    write_json(out / _BEGUN, {**settings, "cases": max(cases, _begun_cases(out))})
    jobs = [
        _Job(out, layout, seed, index, float(spacing_mm), float(missing), float(cavities)) for index in range(cases)
    ]
    to_make = [job for job in jobs if not job.whole]
    done = cases - len(to_make)
    report = progress or (lambda finished, total: None)
    report(done, cases)
    for _ in _worked(to_make, min(workers or processors(), max(len(to_make), 1))):
        done += 1
        report(done, cases)
    LAYOUTS[layout].describe(out)
    whole = max(cases, _recorded_cases(out))
    write_json(out / RECORD, {**settings, "cases": whole, **_lacking(settings, whole), **_operated(settings, whole)})
    (out / _BEGUN).unlink(missing_ok=True)
    return [job.name for job in jobs]


def case_name(layout: str, index: int) -> str:
    """Name of patient `index`, counted from 0, in a layout; numbers in names count from 1."""
    return LAYOUTS[layout].name(index + 1)


def _check(cases: int, layout: str, spacing_mm: float) -> None:
    if cases < 1:
        raise UsageError(f"a cohort needs at least one case, not {cases}")
    if layout not in LAYOUTS:
        raise UsageError(f"unknown layout {layout!r}: expected one of {', '.join(LAYOUTS)}{nearest(layout, LAYOUTS)}")
    if not 0.5 <= spacing_mm <= 6:
        raise UsageError(f"a spacing of {spacing_mm} mm is out of range: expected 0.5 to 6")


def _check_shares(layout: str, missing: float, cavities: float) -> None:
    if not 0 <= missing <= 1:
        raise UsageError(f"missing {missing}: expected the share of patients who lack sequences, 0 to 1")
    if missing and not LAYOUTS[layout].partial:
        others = ", ".join(name for name in LAYOUTS if LAYOUTS[name].partial)
        raise UsageError(f"layout {layout}: its files hold all sequences, so none can be missing: expected {others}")
    if not 0 <= cavities <= 1:
        raise UsageError(f"cavities {cavities}: expected the share of patients who were operated, 0 to 1")
    if cavities and not has_cavities(layout):
        others = ", ".join(filter(has_cavities, LAYOUTS))
        raise UsageError(f"layout {layout}: its labels have no code for a resection cavity: expected {others}")


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Mark the folder as being filled with these settings, or refuse it."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: give a folder to write phantoms to")
    out.mkdir(parents=True, exist_ok=True)
    for record in (out / RECORD, out / _BEGUN):
        if record.exists():
            nobody = {"missing": 0.0, "cavities": 0.0}
            found = {**nobody, **_read(record)}
            wanted = {**nobody, **settings}
            other = [
                f"{key} {found.get(key)!r}, not {wanted[key]!r}" for key in wanted if found.get(key) != wanted[key]
            ]
            if other:
                raise UsageError(f"{out} holds phantoms made with {'; '.join(other)}: give another folder")
            return
    if not all(map(left_behind, out.iterdir())):
        raise UsageError(f"{out} holds other files and no {RECORD}: give an empty or a new folder")


def refuse_more(out: Path, cases: int) -> None:
    """Refuse a folder that holds more phantoms than are asked for: whoever reads it would take all of them.

    Raises:
        UsageError: it does.
        DataError: its record is damaged.
    """
    if (found := max(_recorded_cases(out), _begun_cases(out))) > cases:
        raise UsageError(f"{out} holds {found} phantoms, {cases} were asked for: give another folder")


def _recorded_cases(out: Path) -> int:
    return _cases_in(out / RECORD)


def _begun_cases(out: Path) -> int:
    return _cases_in(out / _BEGUN)


def _cases_in(record: Path) -> int:
    cases = _read(record).get("cases", 0) if record.exists() else 0
    return cases if isinstance(cases, int) else 0


def _read(record: Path) -> dict[str, Any]:
    """What an earlier command has noted.

    Raises:
        DataError: the file is damaged.
    """
    try:
        content = read_json(record)
    except ValueError as error:
        raise DataError(f"{record} is damaged ({error}): give a new folder") from error
    if not isinstance(content, dict):
        raise DataError(f"{record} is damaged (it holds no names and values): give a new folder")
    return content


def _lacking(settings: Mapping[str, Any], cases: int) -> dict[str, dict[str, list[str]]]:
    """Case -> the sequences that it lacks, for the record; nothing where nobody was to lack any."""
    if "missing" not in settings:
        return {}
    lacking: dict[str, list[str]] = {}
    for index in range(cases):
        roles = [modality.role for modality in absent(settings["seed"], index, settings["missing"])]
        lacking |= {case_name(settings["layout"], index): roles} if roles else {}
    return {"lacking": lacking}


def _operated(settings: Mapping[str, Any], cases: int) -> dict[str, list[str]]:
    """The cases who were operated, for the record; nothing where nobody was to be."""
    if "cavities" not in settings:
        return {}
    holed = [index for index in range(cases) if operated(settings["seed"], index, settings["cavities"])]
    return {"operated": [case_name(settings["layout"], index) for index in holed]}


def _worked(jobs: list[_Job], workers: int) -> Iterator[str]:
    """Do the jobs, here or in a pool of single-threaded processes, and yield the names as they finish."""
    # A new process runs the main script's imports again; without such a file (code from a pipe) it cannot start.
    script = getattr(sys.modules["__main__"], "__file__", None)
    if workers <= 1 or (script is not None and not Path(script).is_file()):
        for job in jobs:
            yield _write_case(job)
        return
    with Workers(workers) as pool:
        for future in as_completed([pool.submit(_write_case, job) for job in jobs]):
            yield future.result()


def _write_case(job: _Job) -> str:
    patient = make(job.seed, job.index, job.spacing_mm, operated=operated(job.seed, job.index, job.cavities))
    images = {modality: patient.images[modality] for modality in job.present}
    try:
        LAYOUTS[job.layout].write(job.out, job.name, replace(patient, images=images))
    except OSError as error:
        if lacks_space(error):
            raise ResourceError(
                f"no space left to write {job.name} in {job.out}: free some and run the command again"
            ) from None
        raise
    return job.name

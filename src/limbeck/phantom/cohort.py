"""A folder of synthetic patients in the layout of a public data set, so that every importer can read it.

A case is whole or absent: it is written under a hidden name and renamed. Running again with the same settings makes
what is missing; a folder made with other settings, or holding something else, is refused.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from limbeck.anatomy import LABEL_SCHEMES, Label, Modality
from limbeck.durable import write_json
from limbeck.errors import ResourceError, UsageError, nearest
from limbeck.phantom.patient import Patient, make
from limbeck.threads import limited

VERSION = 6
"""Raised whenever the same seed gives other images."""

LAYOUTS = ("brats2021", "brats2018", "msd")
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


def write(
    out: Path,
    cases: int,
    *,
    seed: int = 0,
    layout: str = "brats2021",
    spacing_mm: float = 1.0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Make `cases` patients in `out` and give their names; whole cases that are already there are kept.

    Args:
        out: folder of the data set; made where it is missing.
        cases: how many patients the folder shall hold at least.
        seed: of the cohort; patient `i` depends on `(seed, i)` alone.
        layout: brats2021, brats2018 or msd.
        spacing_mm: voxel size; 1 gives 240 x 240 x 155.
        workers: processes; all processors when None. One works in this process.
        progress: called with the number of finished cases and `cases`.

    Raises:
        UsageError: a setting is impossible, or the folder was made with other settings or holds something else.
        ResourceError: the disk is full; the cases written so far are whole.
    """
    _check(cases, layout, spacing_mm)
    settings = {"version": VERSION, "seed": seed, "layout": layout, "spacing_mm": float(spacing_mm)}
    out = Path(out)
    _claim(out, settings)
    jobs = [_Job(out, layout, seed, index, float(spacing_mm)) for index in range(cases)]
    missing = [job for job in jobs if not _is_whole(job)]
    done = cases - len(missing)
    report = progress or (lambda finished, total: None)
    report(done, cases)
    for _ in _worked(missing, min(workers or os.cpu_count() or 1, max(len(missing), 1))):
        done += 1
        report(done, cases)
    names = [case_name(layout, index) for index in range(cases)]
    if layout == "msd":
        _write_dataset(out)
    write_json(out / RECORD, {**settings, "cases": max(cases, _recorded_cases(out))})
    (out / _BEGUN).unlink(missing_ok=True)
    return names


def case_name(layout: str, index: int) -> str:
    """Name of patient `index`, counted from 0, in a layout; numbers in names count from 1."""
    if layout == "brats2018":
        return f"Brats18_PH_{index + 1}_1"
    return f"BRATS_{index + 1:03d}" if layout == "msd" else f"BraTS2021_{index + 1:05d}"


def _check(cases: int, layout: str, spacing_mm: float) -> None:
    if cases < 1:
        raise UsageError(f"a cohort needs at least one case, not {cases}")
    if layout not in LAYOUTS:
        raise UsageError(f"unknown layout {layout!r}: expected one of {', '.join(LAYOUTS)}{nearest(layout, LAYOUTS)}")
    if not 0.5 <= spacing_mm <= 6:
        raise UsageError(f"a spacing of {spacing_mm} mm is out of range: expected 0.5 to 6")


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Mark the folder as being filled with these settings, or refuse it."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: give a folder to write phantoms to")
    out.mkdir(parents=True, exist_ok=True)
    for record in (out / RECORD, out / _BEGUN):
        if record.exists():
            found = json.loads(record.read_text(encoding="utf-8"))
            other = [
                f"{key} {found.get(key)!r}, not {settings[key]!r}"
                for key in settings
                if found.get(key) != settings[key]
            ]
            if other:
                raise UsageError(f"{out} holds phantoms made with {'; '.join(other)}: give another folder")
            return
    if any(out.iterdir()):
        raise UsageError(f"{out} holds other files and no {RECORD}: give an empty or a new folder")
    write_json(out / _BEGUN, settings)


def _recorded_cases(out: Path) -> int:
    if not (out / RECORD).exists():
        return 0
    return int(json.loads((out / RECORD).read_text(encoding="utf-8")).get("cases", 0))


def _worked(jobs: list[_Job], workers: int) -> Iterator[str]:
    """Do the jobs, here or in a pool of single-threaded processes, and yield the names as they finish."""
    # A new process runs the main script's imports again; without such a file (code from a pipe) it cannot start.
    script = getattr(sys.modules["__main__"], "__file__", None)
    if workers <= 1 or (script is not None and not Path(script).is_file()):
        for job in jobs:
            yield _write_case(job)
        return
    with limited(1), ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        pending = [pool.submit(_write_case, job) for job in jobs]
        try:
            for future in as_completed(pending):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _is_whole(job: _Job) -> bool:
    name = case_name(job.layout, job.index)
    if job.layout == "msd":
        return all((job.out / folder / f"{name}.nii.gz").is_file() for folder in ("labelsTr", "imagesTr"))
    groups = ("HGG", "LGG") if job.layout == "brats2018" else ("",)
    return any((job.out / group / name).is_dir() for group in groups)


def _write_case(job: _Job) -> str:
    patient = make(job.seed, job.index, job.spacing_mm)
    name = case_name(job.layout, job.index)
    try:
        if job.layout == "msd":
            _write_msd(job.out, name, patient)
        else:
            group = ""
            if job.layout == "brats2018":
                group = "HGG" if (patient.labels == Label.ENHANCING).any() else "LGG"
            _write_brats(job.out / group, name, patient)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(
                f"no space left to write {name} in {job.out}: free some and run the command again"
            ) from None
        raise
    return name


def _write_brats(parent: Path, name: str, patient: Patient) -> None:
    part = parent / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    affine = np.diag([-patient.spacing_mm, -patient.spacing_mm, patient.spacing_mm, 1.0])
    affine[1, 3] = (patient.labels.shape[1] - 1) * patient.spacing_mm
    for modality, image in patient.images.items():
        _save(part / f"{name}_{modality.role}.nii.gz", _whole_numbers(image), affine)
    _save(part / f"{name}_seg.nii.gz", _coded(patient.labels, "brats2018"), affine)
    part.replace(parent / name)


def _write_msd(out: Path, name: str, patient: Patient) -> None:
    """One 4-D file in MSD order; the arrays lie turned about, as an affine with positive axes asks."""
    affine = np.diag([patient.spacing_mm] * 3 + [1.0])
    stack = np.stack([_whole_numbers(patient.images[modality]) for modality in Modality], axis=-1)
    for folder, array in (("labelsTr", _coded(patient.labels, "msd")), ("imagesTr", stack)):
        (out / folder).mkdir(exist_ok=True)
        part = out / folder / f".part.{name}.nii.gz"
        _save(part, array[::-1, ::-1], affine)
        part.replace(out / folder / f"{name}.nii.gz")


def _write_dataset(out: Path) -> None:
    names = sorted(path.name for path in (out / "imagesTr").glob("*.nii.gz") if not path.name.startswith("."))
    write_json(
        out / "dataset.json",
        {
            "name": "BRATS",
            "description": "Synthetic glioma patients made by Limbeck; no real person is shown",
            "tensorImageSize": "4D",
            "modality": {"0": "FLAIR", "1": "T1w", "2": "T1gd", "3": "T2w"},
            "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
            "numTraining": len(names),
            "numTest": 0,
            "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
            "test": [],
        },
    )


def _whole_numbers(image: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(image), 0, 32767), dtype=np.int16)


def _coded(labels: np.ndarray, scheme: str) -> np.ndarray:
    table = np.zeros(max(Label) + 1, np.uint8)
    for code, label in LABEL_SCHEMES[scheme].items():
        table[label] = code
    return np.asarray(table[labels])


def _save(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    image: Any = nib.Nifti1Image(np.ascontiguousarray(array), affine)  # type: ignore[no-untyped-call]
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    with path.open("rb") as stream:
        os.fsync(stream.fileno())

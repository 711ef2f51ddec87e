"""Places where predictions would go, refused before any work is done for them."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from limbeck.data.source import shown
from limbeck.errors import DataError, ResourceError, UsageError
from limbeck.inference.files import DICOM_SEG, Options
from limbeck.inference.folder import Job


def check_case_names(names: Iterable[str]) -> None:
    """Refuse names of cases that name no file, or a file in another folder.

    Raises:
        DataError: there are some; the first is shown.
    """
    for name in names:
        if not name or name.startswith(".") or any(sign in name for sign in "/\\\0\n"):
            raise DataError(f"case {name!r}: its mask would have no plain file name: expected one without slashes")


def check_places(jobs: Sequence[Job], inputs: Iterable[Path], options: Options) -> None:
    """Refuse places that belong to the input, are wanted twice, or may not be written to.

    Args:
        jobs: what will be written.
        inputs: all files that belong to the input, read or not; a DICOM series counts by its folder.
        options: what will be written of each.

    Raises:
        UsageError: two results would have the same file, a result would replace an input, or lie in a DICOM series.
        ResourceError: nothing may be written there.
    """
    wanted = [path for job in jobs for path in job.files.wanted(options)]
    twice = [path for path, count in Counter(wanted).items() if count > 1]
    if twice:
        raise UsageError(f"output {shown(twice[0])}: two results would have this name: expected cases of other names")
    given = set(inputs)
    # By their numbers on the disk, since a file may have several names.
    numbers = {_number(path): path for path in given if os.path.exists(path)}  # noqa: PTH110 - False for a name that is too long
    for path in wanted:
        if path.exists() and _number(path) in numbers:
            raise UsageError(
                f"output {shown(path)} is a scan itself, {shown(numbers[_number(path)])}: expected another name"
            )
    for folder in sorted({path.parent for path in wanted}):
        if folder.exists() and _number(folder) in numbers:
            raise UsageError(f"output folder {shown(folder)} is a DICOM series that was given: expected another folder")
        check_writable(folder)


def check_scans(job: Job) -> None:
    """Refuse scans that are not there.

    Raises:
        DataError: one is missing.
    """
    for modality, source in job.scans.items():
        if not os.path.exists(source.path):  # noqa: PTH110 - False for a name that is too long
            raise DataError(f"{shown(source.path)}: no such file: expected the {modality.role} scan")


def check_writable(folder: Path) -> None:
    """Refuse a folder that is not there, or in which no file can be made.

    Raises:
        UsageError: it is a file, or below one.
        ResourceError: it may not be written to.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not place.is_dir():
        raise UsageError(f"output folder {shown(folder)}: {shown(place)} is a file: expected a folder, or a new name")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ResourceError(
            f"output folder {shown(folder)}: no permission to write in {shown(place)}: expected a folder of yours"
        )


def check_format(job: Job) -> None:
    """Refuse a kind of mask that cannot be made here of these scans.

    Raises:
        UsageError: it is to be DICOM and no scan is a DICOM series, or highdicom is missing.
    """
    mask = job.files.mask
    if mask.name.endswith(DICOM_SEG):
        if not any(source.path.is_dir() for source in job.scans.values()):
            raise UsageError(
                f"output {shown(mask)}: DICOM is written over a DICOM series alone: expected a name in .nii.gz"
            )
        if importlib.util.find_spec("highdicom") is None:
            raise UsageError(f"{shown(mask)}: needs highdicom: pip install 'limbeck[dicom]'")


def _number(path: Path) -> tuple[int, int]:
    """What a file is on its disk, whatever its names."""
    found = path.stat()
    return found.st_dev, found.st_ino

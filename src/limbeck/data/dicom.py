"""A DICOM series, read from its folder through pydicom (the extra `[dicom]`).

A series is one volume: its slices are sorted by where they lie, whatever their names and numbers say, and must be
parallel, of one size, and evenly spaced. What is in the folder besides and is no image in DICOM is passed over. DICOM's
millimetres grow to the patient's left and back (LPS); a `Grid`'s to the right and front (RAS+).
"""

from __future__ import annotations

import stat
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.data.dicom_slice import Slice, planes_of, pydicom, slices_of
from limbeck.data.grid import Grid, by
from limbeck.data.header import check_affine, check_dimensions, check_extent, check_voxels
from limbeck.data.source import Source, shown
from limbeck.errors import DataError

# No scan of a head has so many; a folder with more is something else.
_MAX_FILES = 4096
# Places are written in decimals, at times with few of them.
_UNEVEN_SHARE = 0.05
_UNEVEN_MM = 0.02


def read_grid(source: Source) -> Grid:
    """The grid alone, from the headers, checked; no voxel is read.

    Raises:
        UsageError: pydicom is not installed.
        DataError: the folder holds no series or several, or its slices are no volume.
    """
    return _open(source)[1]


def unpack(sources: Sequence[Source]) -> list[tuple[NDArray[Any], Grid]]:
    """The volume, scaled but not yet cast, `[X,Y,Z]` in Fortran order: X along rows, Y along columns.

    Raises:
        UsageError: pydicom is not installed.
        DataError: as `read_grid`, or voxels are truncated or damaged.
    """
    slices, grid = _open(sources[0])
    for source in sources[1:]:
        check_dimensions(source, grid.shape)
    scaled = any((part.slope, part.intercept) != (1.0, 0.0) for part in slices)
    read: dict[Path, NDArray[Any]] = {}
    planes = []
    for part in slices:
        if part.path not in read:
            # One file is kept, so a file with all slices is read once and the others' memory is free again.
            read = {part.path: planes_of(part.path)}
        frames = read[part.path]
        if frames.shape[1:] != part.shape or (part.frame or 0) >= len(frames):
            raise DataError(
                f"{shown(part.path)}: holds voxels {by(frames.shape)}, not {by(part.shape)}: export it again"
            )
        plane = frames[part.frame or 0]
        planes.append((plane * part.slope + part.intercept).astype(np.float32) if scaled else plane)
    volume = np.stack(planes).transpose()
    return [(volume, grid) for _ in sources]


def files(folder: Path) -> list[Path]:
    """The regular files in a folder, links followed, sorted.

    Raises:
        DataError: the folder cannot be read, or what an entry is, as of a link that leads nowhere: a slice may be lost.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be read ({error.strerror}): check its permissions") from error
    return [entry for entry in entries if _is_file(entry)]


def _is_file(entry: Path) -> bool:
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError as error:
        raise DataError(
            f"{shown(entry)}: cannot be opened ({error.strerror}) and may be a slice: bring it back, or take it away"
        ) from error


def open_series(folder: Path) -> tuple[list[Slice], Grid]:
    """The slices of the one series in a folder, in the order of the grid's third axis, and the grid.

    Raises:
        UsageError: pydicom is not installed.
        DataError: as `read_grid`.
    """
    return _open(Source(folder))


def _open(source: Source) -> tuple[list[Slice], Grid]:
    pydicom(source.path)
    slices = _one_series(source.path)
    _check_alike(source.path, slices)
    slices = _sorted(source.path, slices)
    first, last = slices[0], slices[-1]
    shape = (first.shape[1], first.shape[0], len(slices))
    check_voxels(source, shape)
    check_dimensions(source, shape)
    affine = np.eye(4)
    affine[:3, :2] = first.directions.T * first.spacing_mm
    affine[:3, 2] = (last.position - first.position) / (len(slices) - 1)
    affine[:3, 3] = first.position
    affine[:2] *= -1
    check_affine(source, affine)
    check_extent(source, shape, affine)
    return slices, Grid.of(shape, affine)


def _one_series(folder: Path) -> list[Slice]:
    paths = files(folder)
    if len(paths) > _MAX_FILES:
        raise DataError(f"{shown(folder)}: holds {len(paths)} files: expected one series, of at most {_MAX_FILES}")
    series: dict[str, list[Slice]] = defaultdict(list)
    for path in paths:
        for part in slices_of(path):
            series[part.series].append(part)
    if not series:
        raise DataError(
            f"{shown(folder)}: no image in DICOM lies in it: expected the folder with the files of a series"
        )
    if len(series) > 1:
        names = "; ".join(f"{parts[0].title or 'untitled'} ({len(parts)})" for parts in list(series.values())[:4])
        raise DataError(
            f"{shown(folder)}: holds {len(series)} series, {names}: expected one; make a folder for each, and name that"
        )
    return next(iter(series.values()))


def _check_alike(folder: Path, slices: Sequence[Slice]) -> None:
    first = slices[0]
    if len(slices) == 1:
        raise DataError(f"{shown(folder)}: holds one slice, {first}: expected a volume")
    for part in slices:
        if part.shape != first.shape:
            what = f"{by(part.shape)} voxels and {first} {by(first.shape)}"
        elif np.abs(part.directions - first.directions).max() > 1e-3:
            what = f"another orientation than {first}"
        elif not np.allclose(part.spacing_mm, first.spacing_mm, rtol=1e-3):
            what = f"another spacing than {first}"
        else:
            continue
        raise DataError(f"{shown(folder)}: {part} has {what}: expected parallel slices of one size; export them apart")


def _sorted(folder: Path, slices: Sequence[Slice]) -> list[Slice]:
    """Slices along their normal, if they are evenly spaced on one line."""
    normal = np.cross(*slices[0].directions)
    places = np.array([part.position @ normal for part in slices])
    order = np.argsort(places, kind="stable")
    ordered, gaps = [slices[number] for number in order], np.diff(places[order])
    usual = float(np.median(gaps))
    tolerance = usual * _UNEVEN_SHARE + _UNEVEN_MM
    twins = np.flatnonzero(gaps < _UNEVEN_MM)
    if len(twins):
        one, other = ordered[twins[0]], ordered[twins[0] + 1]
        raise DataError(
            f"{shown(folder)}: {one} and {other} lie at the same place: expected one volume; "
            "export each echo or time as a series of its own"
        )
    odd = np.flatnonzero(np.abs(gaps - usual) > tolerance)
    if len(odd):
        one, other, gap = ordered[odd[0]], ordered[odd[0] + 1], gaps[odd[0]]
        missing = round(gap / usual) - 1
        what = (
            f"{missing} missing" if missing > 0 and abs(gap - (missing + 1) * usual) <= tolerance else "uneven spacing"
        )
        raise DataError(
            f"{shown(folder)}: {what} between {one} and {other}, {gap:.3g} mm apart where others are {usual:.3g} mm: "
            "bring the whole series"
        )
    positions = np.array([part.position for part in ordered])
    line = np.linspace(positions[0], positions[-1], len(ordered))
    apart = np.abs(positions - line).max(axis=1)
    if apart.max() > tolerance:
        part = ordered[int(apart.argmax())]
        raise DataError(
            f"{shown(folder)}: {part} lies {apart.max():.3g} mm off the others' line: expected one stack of slices"
        )
    return ordered

"""What every scan goes through before a network sees it, in training and in prediction alike.

Each sequence is turned, resampled and normalised by itself: the result of one never depends on another, so a
prediction cannot notice what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Modality
from limbeck.data.alignment import aligned
from limbeck.data.geometry import Box, Geometry
from limbeck.data.grid import Grid, by
from limbeck.data.source import Source
from limbeck.data.volume import check_image, read_volumes
from limbeck.errors import DataError, UsageError
from limbeck.normalisation import Normalisation


class GridsDifferError(DataError):
    """Sequences of one patient lie on different grids."""


Scan: TypeAlias = "Source | tuple[NDArray[Any], Grid]"


@dataclass(frozen=True)
class Prepared:
    """A case in model space.

    Attributes:
        images: `[4,D,H,W]` float16 in `Modality` order, normalised in the brain, background 0, absent sequences 0.
        available: `[4]` bool, which sequences were given.
        geometry: the way between the scan's grid and model space.
    """

    images: NDArray[np.float16]
    available: NDArray[np.bool_]
    geometry: Geometry

    def brain(self) -> Box:
        """The block of model space that holds every non-zero voxel of every sequence."""
        occupied = np.zeros(self.geometry.shape, np.bool_)
        for modality in np.flatnonzero(self.available):
            # By bits, all but the sign: NumPy compares float16 a voxel at a time.
            occupied |= (self.images[modality].view(np.uint16) << 1) != 0
        return Box.around(occupied)


@dataclass(frozen=True, eq=False)
class Scans:
    """Sequences of one patient on one grid, as they were read.

    Attributes:
        arrays: `[X,Y,Z]` float32 for each sequence that is there.
        grid: where their voxels lie.
        names: what to call each in a message.
        notes: what was done to bring them onto one grid, a line each.
    """

    arrays: dict[Modality, NDArray[np.float32]]
    grid: Grid
    names: Mapping[Modality, str]
    notes: tuple[str, ...] = ()


def prepare(
    images: Mapping[Modality, Scan], spacing_mm: float, normalisation: Normalisation = Normalisation.Z_SCORE
) -> Prepared:
    """Read sequences that share a grid, and bring them to model space.

    Args:
        images: for each sequence that is there, its source, or an array `[X,Y,Z]` with its grid.
        spacing_mm: edge of the model's voxels.
        normalisation: what is done to the intensities.

    Raises:
        DataError: a file is bad (as `read_volume` and `normalise`), the grids differ, or two sequences are the same
            image; a line for every problem.
        UsageError: no sequence is given, the spacing is not positive, or an array has not its grid's shape.
    """
    if not spacing_mm > 0:
        raise UsageError(f"spacing of {spacing_mm:g} mm: expected a length above 0")
    return to_model_space(read_scans(images), spacing_mm, normalisation)


def read_scans(images: Mapping[Modality, Scan], *, align: bool = False) -> Scans:
    """Read sequences, and check that they lie on one grid.

    Args:
        images: for each sequence that is there, its source, or an array `[X,Y,Z]` with its grid.
        align: bring sequences on other grids onto one of them by what the headers say, instead of refusing them.

    Raises:
        GridsDifferError: the grids differ and are not to be aligned; a line for every odd one.
        DataError: a file is bad, two sequences are the same image, or headers put them at different places; a line for
            every problem.
        UsageError: no sequence is given, or an array has not its grid's shape.
    """
    if not images:
        raise UsageError("no sequence given: expected at least one of flair, t1, t1ce, t2")
    read = _read(images)
    names = {modality: str(scan) if isinstance(scan, Source) else modality.role for modality, scan in images.items()}
    grid, odd = odd_grids({modality: volume[1] for modality, volume in read.items()}, names)
    notes: tuple[str, ...] = ()
    if odd and not align:
        raise GridsDifferError("\n".join(odd))
    if odd:
        read, grid, notes = aligned(read, names)
    arrays = {modality: volume[0] for modality, volume in read.items()}
    _refuse_copies(arrays, names)
    return Scans(arrays, grid, names, notes)


def to_model_space(scans: Scans, spacing_mm: float, normalisation: Normalisation = Normalisation.Z_SCORE) -> Prepared:
    """Sequences turned, resampled and normalised; their arrays are taken out of `scans`, so that memory is freed.

    Raises:
        DataError: as `normalise`, or the model grid would be absurdly large.
    """
    geometry = Geometry.of(scans.grid, spacing_mm)
    available = np.array([modality in scans.arrays for modality in Modality])
    # np.zeros hands out untouched pages, so absent sequences cost nothing.
    result = np.zeros((len(Modality), *geometry.shape), np.float16)
    for modality in sorted(scans.arrays):
        # Taken out of the dictionary, so that each original is freed once it is done.
        result[modality] = normalise(scans.arrays.pop(modality), geometry, scans.names[modality], normalisation)
    return Prepared(result, available, geometry)


def normalise(
    image: NDArray[Any], geometry: Geometry, name: str, normalisation: Normalisation = Normalisation.Z_SCORE
) -> NDArray[np.float16]:
    """One sequence `[X,Y,Z]` in model space, `[D,H,W]` float16.

    A z-score has zero mean and unit deviation over the non-zero voxels; raw intensities are resampled and no more.
    Voxels outside stay exactly 0. Where voxels are resampled, those at the brain's edge take their value from the
    brain alone, since a mixture with the background would be a dark rim.

    Raises:
        DataError: all non-zero voxels have the same value, or raw intensities do not fit float16.
    """
    turned = geometry.to_model(image)
    brain = turned != 0
    if geometry.resamples:
        share = geometry.to_model(image != 0)
        brain = share >= 0.5
        np.divide(turned, share, out=turned, where=brain)
    values = turned[brain]
    if len(values) == 0:
        raise DataError(f"{name}: nothing of the image is left on the model's grid: expected a head that fills voxels")
    # Double precision and NumPy's fixed order of summation: the same numbers whatever the thread count.
    mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    if not deviation > 0:
        raise DataError(f"{name}: every voxel of the brain has the same value: expected an image with contrast")
    if normalisation == Normalisation.RAW:
        _check_range(values, name)
    else:
        values -= np.float32(mean)
        values /= np.float32(deviation)
    result = np.zeros(turned.shape, np.float16)
    result[brain] = values
    return result


def _check_range(values: NDArray[np.float32], name: str) -> None:
    """Refuse intensities that float16 cannot hold: too large for it, or so small that few steps are left of them."""
    limits = np.finfo(np.float16)
    smallest, largest = float(limits.smallest_normal), float(limits.max)
    reached = float(np.abs(values).max())
    if not smallest <= reached <= largest:
        raise DataError(
            f"{name}: intensities reach {reached:g}: expected {smallest:.2g} to {largest:g}, since raw intensities are "
            "kept in float16; rescale the image, or normalise by z-score"
        )


def _read(images: Mapping[Modality, Scan]) -> dict[Modality, tuple[NDArray[Any], Grid]]:
    """All volumes, each file unpacked once; every bad file is reported, not the first alone."""
    read: dict[Modality, tuple[NDArray[Any], Grid]] = {}
    by_file: dict[Any, list[tuple[Modality, Source]]] = {}
    for modality, scan in images.items():
        if isinstance(scan, Source):
            by_file.setdefault(scan.path, []).append((modality, scan))
        else:
            array, grid = scan
            if array.shape != grid.shape:
                raise UsageError(f"{modality.role}: an array of {by(array.shape)} on a grid of {by(grid.shape)}")
            read[modality] = (check_image(modality.role, array), grid)
    problems = []
    for members in by_file.values():
        try:
            volumes = read_volumes([source for _, source in members])
            read.update({modality: volume for (modality, _), volume in zip(members, volumes, strict=True)})
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return read


def odd_grids(grids: Mapping[Modality, Grid], names: Mapping[Modality, str]) -> tuple[Grid, list[str]]:
    """The grid that most sequences share, as the first of these states it, and a line for each that differs.

    Of two that differ, the second is called the odd one.
    """
    ordered = sorted(grids)
    agreeing = {one: sum(grids[one].difference(grids[two]) is None for two in ordered) for one in ordered}
    reference = max(ordered, key=agreeing.__getitem__)
    lines = []
    for modality in ordered:
        difference = grids[reference].difference(grids[modality])
        if difference is not None:
            lines.append(
                f"{names[modality]}: {difference}, compared with {names[reference]}: "
                "all sequences of a case must lie on one grid, so register and resample them to one of them first"
            )
    return grids[reference], lines


def _refuse_copies(arrays: Mapping[Modality, NDArray[Any]], names: Mapping[Modality, str]) -> None:
    """One image under two names is a mix-up, and a network would take it for two witnesses."""
    for one, two in combinations(sorted(arrays), 2):
        first, second = arrays[one], arrays[two]
        middle = first.shape[2] // 2
        # A single slice settles it nearly always.
        if np.array_equal(first[..., middle], second[..., middle]) and np.array_equal(first, second):
            raise DataError(
                f"{names[two]}: the same image as {names[one]}, given as {two.role} and {one.role}: "
                "give each sequence its own file, and leave out what is not there"
            )

"""What every scan goes through before a network sees it, in training and in prediction alike.

Each sequence is turned, resampled and normalised by itself: the result of one never depends on another, so a
prediction cannot notice what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Modality
from limbeck.data.geometry import Box, Geometry
from limbeck.data.volume import Grid, Source, read_volumes
from limbeck.errors import DataError, UsageError

Scan: TypeAlias = "Source | tuple[NDArray[Any], Grid]"


@dataclass(frozen=True)
class Prepared:
    """A case in model space.

    Attributes:
        images: `[4,D,H,W]` float16 in `Modality` order, z-scored in the brain, background 0, absent sequences 0.
        available: `[4]` bool, which sequences were given.
        geometry: the way between the scan's grid and model space.
    """

    images: NDArray[np.float16]
    available: NDArray[np.bool_]
    geometry: Geometry

    def brain(self, margin: int = 0) -> Box:
        """The block of model space that holds every non-zero voxel of every sequence."""
        return Box.around((self.images != 0).any(axis=0), margin)


def prepare(images: Mapping[Modality, Scan], spacing_mm: float) -> Prepared:
    """Read sequences that share a grid, and bring them to model space.

    Args:
        images: for each sequence that is there, its source, or an array `[X,Y,Z]` with its grid.
        spacing_mm: edge of the model's voxels.

    Raises:
        DataError: a file is bad (as `read_volume`), or the grids differ; a line for every problem.
        UsageError: no sequence is given, or the spacing is not positive.
    """
    if not images:
        raise UsageError("no sequence given: expected at least one of flair, t1, t1ce, t2")
    if not spacing_mm > 0:
        raise UsageError(f"spacing of {spacing_mm:g} mm: expected a length above 0")
    read = _read(images)
    grid = _shared_grid({modality: volume[1] for modality, volume in read.items()}, images)
    geometry = Geometry.of(grid, spacing_mm)
    # np.zeros hands out untouched pages, so absent sequences cost nothing.
    result = np.zeros((len(Modality), *geometry.shape), np.float16)
    for modality in sorted(read):
        # Taken out of the dictionary, so that each original is freed once it is done.
        array = read.pop(modality)[0]
        result[modality] = normalise(array, geometry, str(_name(modality, images)))
    return Prepared(result, np.array([modality in images for modality in Modality]), geometry)


def normalise(image: NDArray[Any], geometry: Geometry, name: str) -> NDArray[np.float16]:
    """One sequence `[X,Y,Z]` in model space, `[D,H,W]` float16: zero mean and unit deviation over its non-zero voxels.

    Voxels outside stay exactly 0. Where voxels are resampled, those at the brain's edge take their value from the
    brain alone, since a mixture with the background would be a dark rim.

    Raises:
        DataError: all non-zero voxels have the same value.
    """
    turned = geometry.to_model(image)
    brain = turned != 0
    if geometry.resamples:
        share = geometry.to_model(image != 0)
        brain = share >= 0.5
        np.divide(turned, share, out=turned, where=brain)
    values = turned[brain]
    # Double precision and NumPy's fixed order of summation: the same numbers whatever the thread count.
    mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    if not deviation > 0:
        raise DataError(f"{name}: every voxel of the brain has the same value: expected an image with contrast")
    values -= np.float32(mean)
    values /= np.float32(deviation)
    result = np.zeros(turned.shape, np.float16)
    result[brain] = values
    return result


def _read(images: Mapping[Modality, Scan]) -> dict[Modality, tuple[NDArray[Any], Grid]]:
    """All volumes, each file unpacked once; every bad file is reported, not the first alone."""
    read: dict[Modality, tuple[NDArray[Any], Grid]] = {}
    by_file: dict[Any, list[tuple[Modality, Source]]] = {}
    for modality, scan in images.items():
        if isinstance(scan, Source):
            by_file.setdefault(scan.path, []).append((modality, scan))
        else:
            read[modality] = scan
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


def _shared_grid(grids: Mapping[Modality, Grid], images: Mapping[Modality, Scan]) -> Grid:
    """The grid that the sequences share, as the first one states it.

    Which file is the odd one is decided by the majority; with two files, the second.
    """
    ordered = sorted(grids)
    agreeing = {one: sum(grids[one].difference(grids[two]) is None for two in ordered) for one in ordered}
    reference = max(ordered, key=agreeing.__getitem__)
    problems = []
    for modality in ordered:
        difference = grids[reference].difference(grids[modality])
        if difference is not None:
            problems.append(
                f"{_name(modality, images)}: {difference}, compared with {_name(reference, images)}: "
                "all sequences of a case must lie on one grid; register and resample them to one of them first"
            )
    if problems:
        raise DataError("\n".join(problems))
    return grids[reference]


def _name(modality: Modality, images: Mapping[Modality, Scan]) -> Source | str:
    scan = images[modality]
    return scan if isinstance(scan, Source) else modality.role

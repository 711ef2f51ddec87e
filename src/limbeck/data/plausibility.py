"""What is odd about a patient's images though every file can be read: doubts, which refuse nothing.

Thresholds come from anatomy, from the physics of the sequences, and from synthetic patients
(`python benchmarks/plausibility.py` measures how often each is right). What cannot be told is passed over in silence:
that a head is mirrored as a whole, or that T1 and T1ce are swapped. A grid of few voxels shows too little to judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Modality
from limbeck.data.coarse import Coarse
from limbeck.data.grid import Grid
from limbeck.data.likeness import Mistake, mistaken
from limbeck.data.mirroring import Mirrored, mirrored

_FEWEST_VOXELS = 20_000
_SPACING_MM = (0.2, 12.0)
# Brains after stripping, with their fluid: from a small child's to more than the largest on record.
_BRAIN_ML = (500.0, 2200.0)
_LONGEST_BRAIN_MM = 230.0
# A brain fills 0.52 of the smallest box around it, a head in noise all of its grid.
_FILLED = 0.6
_BESIDE_OTHERS = 1.5
_SKIN_MM = 5.0
_SHELL_MM = (4.0, 16.0)
_BRIGHTER = 1.5
_FEWEST_DEEP = 100
_DARK = 0.25
_DARK_SHELL = 0.3
_FEWEST_LEVELS = 16
_FLATTEST = 0.05
_SPIKE = 200.0


@dataclass(frozen=True)
class Doubt:
    """Something about a patient's images that a person should look at.

    Attributes:
        modality: the sequence, or None if it concerns several or all.
        what: what was found, with the sequences it was found in.
        remedy: what would be right, or what to do.
    """

    modality: Modality | None
    what: str
    remedy: str


@dataclass(frozen=True)
class _Remark:
    """What is odd about one sequence: the same remark on several becomes one doubt."""

    what: str
    remedy: str
    # Whether its voxels that are not 0 can stand for the brain.
    stripped: bool = True


def doubts(images: Mapping[Modality, NDArray[Any]], grid: Grid) -> list[Doubt]:
    """What is odd about sequences `[X,Y,Z]` that share a grid, axes as in the file; each cause told once.

    Fast enough to stand before every prediction: 0.2 s of one core for four sequences of 240 x 240 x 155.
    """
    if not images:
        return []
    low, high = _SPACING_MM
    if not all(low <= edge <= high for edge in grid.spacing_mm):
        voxel = " x ".join(f"{edge:.3g}" for edge in grid.spacing_mm)
        remedy = f"expected {low:g} to {high:g} mm: write the true size in millimetres into the header"
        return [Doubt(None, f"voxels of {voxel} mm", remedy)]
    coarse = Coarse.of(images, grid)
    remarks = {modality: _around(image) for modality, image in coarse.images.items()}
    if np.prod(grid.shape) < _FEWEST_VOXELS:
        return [*_grouped(remarks)]
    remarks = {modality: remarks[modality] or _remark(modality, images[modality], coarse) for modality in remarks}
    sound = {modality for modality, remark in remarks.items() if remark is None or remark.stripped}
    found = [*_grouped(remarks)]
    brains = coarse.only(sound)
    if sound and not found:
        found += _size(brains)
    if len(sound) > 1:
        opposed = mirrored(brains, grid.affine)
        # Sequences that lie askew have nothing to compare.
        found += [_opposed(opposed)] if opposed else _mistaken(mistaken(brains))
    return found


def _remark(modality: Modality, whole: NDArray[Any], coarse: Coarse) -> _Remark | None:
    """The first thing that is odd about one sequence in a background of 0."""
    image = coarse.images[modality]
    values = image[image != 0]
    return _too_much(modality, coarse) or _contrast(values) or _spike(whole, values)


def _around(image: NDArray[np.float32]) -> _Remark | None:
    """Whether there is a head, in a background of 0."""
    inside = image != 0
    if not inside.any():
        return _Remark("hardly a voxel is not 0", "expected a head", stripped=False)
    faces = np.concatenate([np.take(image, (0, -1), axis=axis).ravel() for axis in range(3)])
    values, counts = np.unique(faces, return_counts=True)
    usual = float(values[counts.argmax()])
    if usual != 0 and counts.max() > 0.5 * len(faces):
        remedy = "set the background to 0, which marks what is not brain"
        return _Remark(f"the background is {usual:.4g}, not 0", remedy, stripped=False)
    filled = float(inside.mean())
    if filled > _FILLED:
        return _Remark(f"{filled:.0%} of the voxels are not 0", _STRIP, stripped=False)
    return None


_STRIP = "expected a skull-stripped head in a background of 0: strip the skull first"


def _too_much(modality: Modality, coarse: Coarse) -> _Remark | None:
    """Whether more than a brain is there."""
    image = coarse.images[modality]
    inside = image != 0
    volume = float(inside.sum()) * coarse.voxel_ml
    most = _BRAIN_ML[1]
    if volume > most:
        what = f"{volume:.0f} ml are not 0, more than any brain (at most {most:.0f} ml)"
        return _Remark(what, "strip the skull first, or correct the voxel size", stripped=False)
    others = [float((other != 0).sum()) * coarse.voxel_ml for one, other in coarse.images.items() if one != modality]
    if others and volume > _BESIDE_OTHERS * min(others) and min(others) > _BRAIN_ML[0]:
        what = f"{volume:.0f} ml are not 0, in another sequence {min(others):.0f} ml"
        return _Remark(what, "strip the skull of every sequence with the same mask", stripped=False)
    if _skull(image, coarse.depth_mm(inside, beyond=True)):
        return _Remark("a dark shell lies below its surface, as of a skull below the scalp", _STRIP, stripped=False)
    return None


def _skull(image: NDArray[np.float32], depth_mm: NDArray[np.float32]) -> bool:
    """Whether bright skin lies over dark bone. A stripped brain has its fluid outermost, on folds no darker."""
    image = image - min(0.0, float(image.min()))
    deep = image[depth_mm > 2 * _SHELL_MM[1]]
    shell = image[(depth_mm > _SHELL_MM[0]) & (depth_mm < _SHELL_MM[1])]
    if len(deep) < _FEWEST_DEEP or not len(shell):
        return False
    dark = float((shell < _DARK * np.median(deep)).mean())
    skin = image[(depth_mm > 0) & (depth_mm <= _SKIN_MM)]
    return dark > _DARK_SHELL and float(np.median(skin)) > _BRIGHTER * float(np.median(shell))


def _contrast(values: NDArray[np.float32]) -> _Remark | None:
    levels = len(np.unique(values))
    if levels < _FEWEST_LEVELS:
        return _Remark(f"there are {levels} different values in it", "expected an image, not a mask: check the file")
    low, middle, high = (float(value) for value in np.percentile(values, (5, 50, 95)))
    if high - low < _FLATTEST * abs(middle):
        what = f"hardly any contrast: most of it lies between {low:.6g} and {high:.6g}"
        return _Remark(what, "export it again with its full range of intensities")
    return None


def _spike(whole: NDArray[Any], values: NDArray[np.float32]) -> _Remark | None:
    usual = float(np.percentile(np.abs(values), 99))
    largest = max(abs(float(whole.max())), abs(float(whole.min())))
    if largest > _SPIKE * usual > 0:
        what = f"its largest value, {largest:.4g}, is {largest / usual:.0f} times what 99 % stay below"
        return _Remark(what, "clip such voxels, which would drown the rest in normalisation")
    return None


def _grouped(remarks: Mapping[Modality, _Remark | None]) -> Iterator[Doubt]:
    """One doubt for each remedy, however many sequences need it."""
    by_remedy: dict[str, dict[Modality, str]] = {}
    for modality, remark in remarks.items():
        if remark is not None:
            by_remedy.setdefault(remark.remedy, {})[modality] = remark.what
    for remedy, whats in by_remedy.items():
        one = next(iter(whats)) if len(whats) == 1 else None
        yield Doubt(one, "; ".join(f"{modality.role}: {what}" for modality, what in whats.items()), remedy)


def _size(coarse: Coarse) -> list[Doubt]:
    """Whether what there is of brain has a brain's size."""
    brain = np.logical_or.reduce([image != 0 for image in coarse.images.values()])
    volume = float(brain.sum()) * coarse.voxel_ml
    lengths = []
    for axis, edge in enumerate(coarse.spacing_mm):
        places = np.flatnonzero(brain.any(axis=tuple(other for other in range(3) if other != axis)))
        lengths.append(float(places[-1] - places[0] + 1) * edge)
    extent = " x ".join(f"{length:.0f}" for length in lengths)
    if max(lengths) > _LONGEST_BRAIN_MM:
        what = f"the brain is {extent} mm, longer than any (at most {_LONGEST_BRAIN_MM:.0f} mm)"
        return [Doubt(None, what, "correct the voxel size in the header")]
    if volume < _BRAIN_ML[0]:
        what = f"the brain has {volume:.0f} ml (at least {_BRAIN_ML[0]:.0f} ml expected; {extent} mm)"
        return [Doubt(None, what, "correct the voxel size, or check that the whole brain was scanned and not cut away")]
    return []


def _opposed(found: Mirrored) -> Doubt:
    remedy = "export it again, or turn it over; a mask would fit some of the sequences only"
    if len(found.odd) == len(found.others) == 1:
        what = f"{_and(found.odd + found.others)} look mirrored ({found.sense}) against one another"
        return Doubt(None, what, remedy)
    if len(found.odd) == 1:
        what = f"{_and(found.odd)} looks mirrored ({found.sense}) against the other sequences"
        return Doubt(found.odd[0], what, remedy)
    return Doubt(None, f"{_and(found.odd)} look mirrored ({found.sense}) against {_and(found.others)}", remedy)


def _mistaken(mistake: Mistake | None) -> list[Doubt]:
    if mistake is None:
        return []
    if len(mistake.given) > 1:
        remedy = "check which file is which sequence, and give each its own role"
        return [Doubt(None, f"{_and(mistake.given)} look swapped", remedy)]
    (given,), (real,) = mistake.given, mistake.real
    remedy = f"check the file, and give it as {real.role} if it is one"
    return [Doubt(given, f"{given.role} looks like a {real.role} image", remedy)]


def _and(modalities: tuple[Modality, ...]) -> str:
    return " and ".join(", ".join(modality.role for modality in modalities).rsplit(", ", 1))

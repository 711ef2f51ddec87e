"""Whether one sequence lies mirrored against the others.

A head that is mirrored as a whole looks like a head; but a sequence that is mirrored against the others shares far
less information with them than its mirror image does. Folds of the cortex decide it, for they are not symmetric.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from itertools import combinations

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from limbeck.anatomy import Modality
from limbeck.data.coarse import Coarse

SENSES = ("left-right", "front-back", "up-down")
_BINS = 12
_FEWEST_VOXELS = 2000
# In nats. Synthetic patients share at least 0.12 straight and less than a third of it mirrored.
_LEAST_SHARED = 0.06
_RATIO = 1.6


def mirrored(coarse: Coarse, affine: NDArray[np.float64]) -> tuple[str, tuple[Modality, ...]] | None:
    """The sense in which sequences oppose one another, and the odd one, or all of them where no one is in the minority.

    Args:
        coarse: two or more skull-stripped sequences on one grid.
        affine: of the grid, which says which axis is which.
    """
    if len(coarse.images) < 2:
        return None
    brain = coarse.brain
    evened = coarse.evened(brain)
    axes = io_orientation(affine)[:, 0]
    for axis in range(3):
        region = brain & np.flip(brain, axis)
        if region.sum() < _FEWEST_VOXELS or np.isnan(axes[axis]):
            continue
        straight = {modality: _binned(image[region]) for modality, image in evened.items()}
        turned = {modality: _binned(np.flip(image, axis)[region]) for modality, image in evened.items()}
        opposed = [pair for pair in combinations(sorted(straight), 2) if _opposed(straight, turned[pair[0]], pair)]
        if opposed:
            return SENSES[int(axes[axis])], _odd(opposed)
    return None


def _opposed(
    straight: dict[Modality, NDArray[np.intp]], turned: NDArray[np.intp], pair: tuple[Modality, Modality]
) -> bool:
    one, two = pair
    mirror = _shared(turned, straight[two])
    return mirror > _LEAST_SHARED and mirror > _RATIO * _shared(straight[one], straight[two])


def _odd(opposed: list[tuple[Modality, Modality]]) -> tuple[Modality, ...]:
    """The one sequence that every opposed pair has in common; where there is no such one, all that are involved."""
    involved = sorted({modality for pair in opposed for modality in pair})
    in_all = [modality for modality in involved if all(modality in pair for pair in opposed)]
    return tuple(in_all if len(in_all) == 1 else involved)


def _binned(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which twelfth of the values each belongs to."""
    borders = np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1])
    return np.searchsorted(borders, values)


def _shared(one: NDArray[np.intp], two: NDArray[np.intp]) -> float:
    """Mutual information in nats."""
    joint = np.bincount(one * _BINS + two, minlength=_BINS**2).reshape(_BINS, _BINS) / len(one)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / independent[there])).sum())

"""Whether one sequence lies mirrored against the others.

A head that is mirrored as a whole looks like a head; but a sequence that is mirrored against the others shares far
less information with them than its mirror image does. Folds of the cortex decide it, for they are not symmetric.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from limbeck.anatomy import Modality
from limbeck.data.coarse import Coarse

SENSES = ("left-right", "front-back", "up-down")
_BINS = 12
_FEWEST_VOXELS = 2000
# In nats, for each pair. Twelve values a sequence share 0.004 by chance.
_LEAST_SHARED = 0.03
# Synthetic patients under no mirror share less than 0.4 as much with mirror images.
_RATIO = 1.25
Pair: TypeAlias = tuple[Modality, Modality]


@dataclass(frozen=True)
class Mirrored:
    """Sequences that oppose the others.

    Attributes:
        sense: one of `SENSES`.
        odd: those that are the fewer; of two that oppose one another, the first.
        others: those that they oppose.
    """

    sense: str
    odd: tuple[Modality, ...]
    others: tuple[Modality, ...]


def mirrored(coarse: Coarse, affine: NDArray[np.float64]) -> Mirrored | None:
    """Which sequences lie mirrored against the others; None if none do, or it cannot be told.

    Args:
        coarse: two or more skull-stripped sequences on one grid.
        affine: of the grid, which says which axis is which.
    """
    brain = coarse.brain
    # Sequences that share no voxel have no brain in common to even out.
    if brain.sum() < _FEWEST_VOXELS:
        return None
    evened = coarse.evened(brain)
    axes = io_orientation(affine)[:, 0]
    for axis in range(3):
        region = brain & np.flip(brain, axis)
        if region.sum() < _FEWEST_VOXELS or np.isnan(axes[axis]):
            continue
        as_is = {modality: _binned(image[region]) for modality, image in evened.items()}
        turned = {modality: _binned(np.flip(image, axis)[region]) for modality, image in evened.items()}
        pairs = list(combinations(sorted(evened), 2))
        straight = {(one, two): _shared(as_is[one], as_is[two]) for one, two in pairs}
        mirror = {(one, two): _shared(turned[one], as_is[two]) for one, two in pairs}
        odd = _odd(straight, mirror, sorted(evened))
        if odd:
            return Mirrored(SENSES[int(axes[axis])], odd, tuple(sorted(set(evened) - set(odd))))
    return None


def _odd(
    straight: Mapping[Pair, float], mirror: Mapping[Pair, float], sequences: Sequence[Modality]
) -> tuple[Modality, ...]:
    """The sequences which, turned over, would make all of them share the most; none if nothing is gained by it."""
    best: tuple[Modality, ...] = ()
    most = 0.0
    for count in range(1, len(sequences) // 2 + 1):
        for odd in combinations(sequences, count):
            between = [pair for pair in straight if (pair[0] in odd) != (pair[1] in odd)]
            now, then = sum(straight[pair] for pair in between), sum(mirror[pair] for pair in between)
            if then > max(_RATIO * now, _LEAST_SHARED * len(between)) and then - now > most:
                best, most = odd, then - now
    return best


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

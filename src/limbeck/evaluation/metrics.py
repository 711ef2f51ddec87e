"""How well a predicted label map agrees with the reference, region by region.

Every metric takes two masks and the spacing and returns one finite number, empty masks included: a case that drops
out of a mean in silence would flatter the method that failed on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from limbeck.anatomy import Label, Region
from limbeck.errors import DataError, UsageError, nearest
from limbeck.evaluation.table import BOTH_EMPTY, PREDICTION_EMPTY, REFERENCE_EMPTY, WORST_HD95_MM

Mask: TypeAlias = NDArray[np.bool_]
Spacing: TypeAlias = Sequence[float]
Metric: TypeAlias = Callable[[Mask, Mask, Spacing], float]


class Score(NamedTuple):
    """One metric of one region; `note` says which side was empty."""

    region: Region
    metric: str
    value: float
    note: str


def dice(prediction: Mask, reference: Mask, spacing: Spacing = ()) -> float:
    """Twice the overlap over the sum of both sizes, in [0, 1]; two empty masks agree: 1.

    Args:
        prediction: bool mask `[D,H,W]`.
        reference: bool mask of the same shape.
        spacing: not used: overlap is a ratio of counts. All metrics share one signature.
    """
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    if total == 0:
        return 1.0
    return 2.0 * int(np.count_nonzero(prediction & reference)) / total


def hd95_mm(prediction: Mask, reference: Mask, spacing: Spacing) -> float:
    """The 95th percentile Hausdorff distance between two surfaces, in mm.

    A surface is the mask without its erosion by the 6-neighbourhood; what lies beyond the image counts as outside,
    so a mask that touches the border has surface there. From each surface voxel the Euclidean distance to the nearest
    voxel of the other surface is taken between centres. The value is the larger of the two directions' 95th
    percentiles, interpolated linearly. It equals MONAI's `compute_hausdorff_distance(percentile=95)`. Both
    empty: 0. One empty: 374 (BraTS).

    Args:
        prediction: bool mask `[D,H,W]`.
        reference: bool mask of the same shape.
        spacing: voxel edges in mm, one for each axis.
    """
    empty = _empty_side(prediction, reference)
    if empty:
        return 0.0 if empty == BOTH_EMPTY else WORST_HD95_MM
    forth, back = surface_distances(prediction, reference, spacing)
    return float(max(np.percentile(forth, 95), np.percentile(back, 95)))


def surface_distances(
    prediction: Mask, reference: Mask, spacing: Spacing
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances in mm from each surface voxel of one mask to the other's surface, both directions.

    Returns:
        From prediction to reference and from reference to prediction, each as long as the surface it starts from.

    Args:
        prediction: bool mask `[D,H,W]`, not empty.
        reference: bool mask of the same shape, not empty.
        spacing: voxel edges in mm, one for each axis.
    """
    first, second = (mask & ~ndimage.binary_erosion(mask, border_value=0) for mask in (prediction, reference))
    if np.count_nonzero(first) + np.count_nonzero(second) <= _FEW_SURFACE_VOXELS:
        return _nearest(first, second, spacing), _nearest(second, first, spacing)
    return _mapped(first, second, spacing), _mapped(second, first, spacing)


# Beyond this a distance map is faster than a search. A real tumour stays below it; the speckle of an untrained network
# does not, and would be searched for a minute.
_FEW_SURFACE_VOXELS = 60_000

# Name -> function; a name carries its unit.
METRICS: MappingProxyType[str, Metric] = MappingProxyType({"dice": dice, "hd95_mm": hd95_mm})


def score(
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    spacing: Spacing,
    metrics: Sequence[str] = ("dice", "hd95_mm"),
) -> list[Score]:
    """Every metric of every region, regions first, in the order of `Region` and of `metrics`.

    Args:
        prediction: label map `[D,H,W]`, codes of `anatomy.Label`.
        reference: label map on the same grid.
        spacing: voxel edges in mm, one for each axis.
        metrics: names in `METRICS`.

    Raises:
        DataError: shapes differ, a code is none of `Label`, or the spacing does not fit.
        UsageError: a metric is unknown.
    """
    functions = {name: _metric(name) for name in metrics}
    _check(prediction, reference, spacing)
    box = _tumour_box(prediction, reference)
    scores = []
    for region in Region:
        members = np.isin(np.arange(len(Label)), [int(label) for label in region.labels])
        predicted, expected = members[prediction[box]], members[reference[box]]
        note = _empty_side(predicted, expected)
        for name, function in functions.items():
            scores.append(Score(region, name, function(predicted, expected, spacing), note))
    return scores


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise UsageError(f"unknown metric {name!r}: expected {', '.join(METRICS)}{nearest(name, METRICS)}")
    return METRICS[name]


def _check(prediction: NDArray[np.integer], reference: NDArray[np.integer], spacing: Spacing) -> None:
    if prediction.shape != reference.shape:
        raise DataError(f"the prediction's shape is {prediction.shape}; expected the reference's, {reference.shape}")
    if len(spacing) != reference.ndim or not all(0 < edge < np.inf for edge in spacing):
        raise DataError(f"the spacing is {tuple(spacing)}; expected {reference.ndim} positive lengths in mm")
    for side, labels in (("prediction", prediction), ("reference", reference)):
        if labels.dtype.kind not in "iu":
            raise DataError(f"the {side}'s type is {labels.dtype}; expected integer label codes")
        if labels.size and not 0 <= labels.min() <= labels.max() < len(Label):
            raise DataError(
                f"the {side} holds codes from {labels.min()} to {labels.max()}; expected 0 to {len(Label) - 1}"
            )


def _empty_side(prediction: Mask, reference: Mask) -> str:
    predicted, expected = bool(prediction.any()), bool(reference.any())
    if predicted and expected:
        return ""
    if predicted:
        return REFERENCE_EMPTY
    return PREDICTION_EMPTY if expected else BOTH_EMPTY


def _tumour_box(prediction: NDArray[np.integer], reference: NDArray[np.integer]) -> tuple[slice, ...]:
    """The smallest box around everything that is not background in either map; no metric looks beyond it."""
    foreground = (prediction != 0) | (reference != 0)
    box = []
    for axis in range(foreground.ndim):
        others = tuple(other for other in range(foreground.ndim) if other != axis)
        occupied = np.flatnonzero(foreground.any(axis=others))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1) if len(occupied) else slice(0, 0))
    return tuple(box)


def _nearest(start: Mask, goal: Mask, spacing: Spacing) -> NDArray[np.float64]:
    """Distances by search among the goal's voxels: fast where surfaces are small, whatever the box around them."""
    edges = np.asarray(spacing, dtype=np.float64)
    distances, _ = KDTree(np.argwhere(goal) * edges).query(np.argwhere(start) * edges)
    return np.asarray(distances, dtype=np.float64)


def _mapped(start: Mask, goal: Mask, spacing: Spacing) -> NDArray[np.float64]:
    """The same distances read from a map of the whole box, whose cost does not grow with the surfaces."""
    distances = ndimage.distance_transform_edt(~goal, sampling=spacing)
    return np.asarray(distances[start], dtype=np.float64)

"""How well a predicted label map agrees with the reference, region by region.

Every metric takes a `Pair` of masks and returns one finite number, empty masks included: a case that drops out of a
mean in silence would flatter the method that failed on it. What each one means stands in `table.DEFINITIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Label, Region
from limbeck.errors import DataError, UsageError, nearest
from limbeck.evaluation.pair import Pair, occupied_box
from limbeck.evaluation.surfaces import Spacing
from limbeck.evaluation.table import BOTH_EMPTY, WORST_HD95_MM

Metric: TypeAlias = Callable[[Pair], float]

# A distance of 1 mm shall count as within 1 mm on an affine that single precision has rounded.
_ROUNDING_MM = 1e-4


class Score(NamedTuple):
    """One metric of one region; `note` says which side was empty."""

    region: Region
    metric: str
    value: float
    note: str


def _agreement(measure: Metric) -> Metric:
    """The rule for empty masks where more is better: both empty 1, one empty 0."""

    @wraps(measure)
    def with_rule(pair: Pair) -> float:
        return float(pair.empty == BOTH_EMPTY) if pair.empty else measure(pair)

    return with_rule


def _distance_mm(measure: Metric) -> Metric:
    """The rule for empty masks where less is better: both empty 0, one empty 374 mm (BraTS)."""

    @wraps(measure)
    def with_rule(pair: Pair) -> float:
        return (0.0 if pair.empty == BOTH_EMPTY else WORST_HD95_MM) if pair.empty else measure(pair)

    return with_rule


@_agreement
def dice(pair: Pair) -> float:
    """Twice the overlap over the sum of both sizes, in [0, 1]."""
    return 2.0 * pair.shared_voxels / (pair.predicted_voxels + pair.reference_voxels)


@_agreement
def sensitivity(pair: Pair) -> float:
    """The overlap over the reference's size, in [0, 1]."""
    return pair.shared_voxels / pair.reference_voxels


@_agreement
def precision(pair: Pair) -> float:
    """The overlap over the prediction's size, in [0, 1]."""
    return pair.shared_voxels / pair.predicted_voxels


def volume_error_ml(pair: Pair) -> float:
    """The predicted minus the reference volume in ml, with its sign: a mean over cases shows a bias, not a spread."""
    return (pair.predicted_voxels - pair.reference_voxels) * pair.voxel_mm3 / 1000.0


@_distance_mm
def hd95_mm(pair: Pair) -> float:
    """The 95th percentile Hausdorff distance between two surfaces, in mm.

    A surface is the mask without its erosion by the 6-neighbourhood; what lies beyond the image counts as outside,
    so a mask that touches the border has surface there. From each surface voxel the Euclidean distance to the nearest
    voxel of the other surface is taken between centres. The value is the larger of the two directions' 95th
    percentiles, interpolated linearly. It equals MONAI's `compute_hausdorff_distance(percentile=95)`.
    """
    return _hd95(pair.forth.distance_mm, pair.back.distance_mm)


@_distance_mm
def msd_mm(pair: Pair) -> float:
    """The mean over the surface voxels of both masks, taken together, of the distance to the other surface, in mm.

    It equals MONAI's `compute_average_surface_distance(symmetric=True)`.
    """
    return float(np.concatenate([pair.forth.distance_mm, pair.back.distance_mm]).mean())


@_agreement
def surface_dice_1mm(pair: Pair) -> float:
    """The share of both surfaces' voxels within 1 mm of the other surface, in [0, 1]."""
    return _surface_dice(pair, 1.0)


@_agreement
def surface_dice_2mm(pair: Pair) -> float:
    """The share of both surfaces' voxels within 2 mm of the other surface, in [0, 1]."""
    return _surface_dice(pair, 2.0)


def lesion_dice(pair: Pair) -> float:
    """The mean Dice of lesions and false positives by the rules of BraTS 2023 (`lesions.match`), in [0, 1].

    A missed lesion and a false positive score 0. With nothing to count it is 1, also if small lesions were missed.
    """
    found = pair.lesions
    return sum(lesion.dice for lesion in found.lesions) / found.counted if found.counted else 1.0


def lesion_hd95_mm(pair: Pair) -> float:
    """The mean HD95 of lesions and false positives by the rules of BraTS 2023 (`lesions.match`), in mm.

    A missed lesion and a false positive score 374 mm. With nothing to count it is 0. The challenge's program takes
    its percentiles over surface elements weighted by area; here a lesion's HD95 is defined as a region's.
    """
    found = pair.lesions
    if not found.counted:
        return 0.0
    total = WORST_HD95_MM * found.false_positives
    for lesion in found.lesions:
        total += _hd95(*pair.lesion_distances_mm(lesion)) if len(lesion.found_by) else WORST_HD95_MM
    return total / found.counted


def legacy_slice_mean(pair: Pair) -> float:
    """MTCM-KD's published score (papers 4.4): the mean Dice of all sagittal slices, empty ones counting 1.

    Slices are planes of the file's first axis, which runs from ear to ear in BraTS's files and need not elsewhere. It
    exists only to reproduce published numbers; nothing may be ranked by it. `limbeck.overlap` has it in torch.
    """
    shared, predicted, expected = (
        np.count_nonzero(mask, axis=(1, 2))
        for mask in (pair.prediction & pair.reference, pair.prediction, pair.reference)
    )
    occupied = predicted + expected > 0
    scores = 2.0 * shared[occupied] / (predicted + expected)[occupied]
    empty = pair.sagittal_slices - int(np.count_nonzero(occupied))
    return float((scores.sum() + empty) / pair.sagittal_slices)


# Name -> function; a name carries its unit.
METRICS: MappingProxyType[str, Metric] = MappingProxyType(
    {
        metric.__name__: metric
        for metric in (
            dice,
            hd95_mm,
            msd_mm,
            surface_dice_1mm,
            surface_dice_2mm,
            sensitivity,
            precision,
            volume_error_ml,
            lesion_dice,
            lesion_hd95_mm,
            legacy_slice_mean,
        )
    }
)
# What is measured unless something else is asked for.
STANDARD: tuple[str, ...] = tuple(name for name in METRICS if name != legacy_slice_mean.__name__)


def score(
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    spacing: Spacing,
    metrics: Sequence[str] = STANDARD,
    voxel_mm3: float | None = None,
) -> list[Score]:
    """Every metric of every region, regions first, in the order of `Region` and of `metrics`.

    Args:
        prediction: label map `[X,Y,Z]`, codes of `anatomy.Label`.
        reference: label map on the same grid.
        spacing: voxel edges in mm, one for each axis.
        metrics: names in `METRICS`.
        voxel_mm3: a voxel's volume, if its edges are not at right angles.

    Raises:
        DataError: shapes differ, a code is none of `Label`, or the spacing does not fit.
        UsageError: a metric is unknown.
    """
    functions = {name: find(name) for name in metrics}
    _check(prediction, reference, spacing)
    box = occupied_box((prediction != 0) | (reference != 0))
    scores = []
    for region in Region:
        members = np.isin(np.arange(len(Label)), [int(label) for label in region.labels])
        pair = Pair(members[prediction[box]], members[reference[box]], spacing, voxel_mm3, reference.shape[0])
        for name, function in functions.items():
            scores.append(Score(region, name, function(pair), pair.empty))
    return scores


def find(name: str) -> Metric:
    """The metric of a name.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
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


def _hd95(forth: NDArray[np.float64], back: NDArray[np.float64]) -> float:
    return float(max(np.percentile(forth, 95), np.percentile(back, 95)))


def _surface_dice(pair: Pair, tolerance_mm: float) -> float:
    distances = np.concatenate([pair.forth.distance_mm, pair.back.distance_mm])
    return float(np.mean(distances <= tolerance_mm + _ROUNDING_MM))

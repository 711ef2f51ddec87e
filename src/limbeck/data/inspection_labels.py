"""What is wrong with a case's segmentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from limbeck.anatomy import CANONICAL_SCHEME, Label
from limbeck.data import fingerprint
from limbeck.data.case import Case
from limbeck.data.findings import Finding, of_error
from limbeck.data.grid import Grid, corners_apart_mm
from limbeck.data.source import Source
from limbeck.data.volume import label_scheme, read_labels, read_volume
from limbeck.errors import DataError

_OUTSIDE = 0.05
# Of the brain, and more than a patient with any tumour is left without.
_LARGEST_SHARE = 0.5
# Slices of a tumour that was drawn on this grid are seldom equal.
_EQUAL_SLICES = 0.4
_FEWEST_SLICES = 8
_FEWEST_VOXELS = 200
_NEAREST = "resample the images instead, or the segmentation once, from its original, taking the nearest voxel"


@dataclass(frozen=True)
class Segmentation:
    """What a segmentation holds.

    Attributes:
        label_ml: volume of each label in millilitres; None if it is not known what the codes mean.
        hash: by which the same segmentation is known again; empty if nothing is labelled.
    """

    label_ml: dict[str, float] | None
    hash: str


def examine_labels(
    case: Case, scheme: str, grid: Grid | None, head: NDArray[np.bool_] | None
) -> tuple[Segmentation | None, list[Finding]]:
    """What the segmentation holds, if it can be read, and what is wrong with it.

    Args:
        case: whose it is.
        scheme: name of its label scheme; empty if that could not be settled, and then any code that has a meaning
            anywhere is taken, and no volume is told.
        grid: that of the images, as far as they could be read.
        head: `[X,Y,Z]`, where any image has signal.
    """
    if case.labels is None:
        return None, []
    file = str(case.labels)
    try:
        labels, own = read_labels(case.labels, scheme or CANONICAL_SCHEME)
    except DataError as error:
        return None, _interpolated(case, scheme or CANONICAL_SCHEME) or of_error(case.id, error, file)
    findings = []
    difference = grid.difference(own) if grid is not None else None
    if difference is not None and grid is not None:
        what = f"{file}: {difference}, compared with the images{corner(grid, own)}"
        findings.append(Finding(case.id, "error", what, "a segmentation must lie on the grid of its images", file))
    elif head is not None and head.shape == labels.shape:
        findings += _misfit(case.id, file, labels > 0, head)
    counts = np.bincount(labels.ravel(), minlength=len(Label))
    volumes = {
        label.name.lower(): round(float(counts[label]) * own.voxel_ml, 6) for label in Label if label and counts[label]
    }
    if not volumes:
        findings.append(Finding(case.id, "warning", f"{file}: all background", "check that it has no tumour", file))
    findings += _blocks(case.id, file, labels)
    return Segmentation(volumes if scheme else None, fingerprint.of_labels(labels, own.affine)), findings


def corner(grid: Grid, other: Grid) -> str:
    """How far two grids of one shape lie apart at the farthest corner, in words; empty if the shapes differ."""
    if grid.shape != other.shape:
        return ""
    return f" ({apart_mm(grid, other):.3g} mm apart at the farthest corner)"


def apart_mm(grid: Grid, other: Grid) -> float:
    """Distance between the places that two grids of one shape give to the same voxel, at the farthest corner, in mm."""
    return corners_apart_mm(grid.shape, grid.affine, other.affine)


def _misfit(case: str, file: str, labelled: NDArray[np.bool_], head: NDArray[np.bool_]) -> list[Finding]:
    """Whether what is labelled does not fit the head, or fits it too well."""
    outside = float((labelled & ~head).sum()) / max(1, int(labelled.sum()))
    share = float((labelled & head).sum()) / max(1, int(head.sum()))
    if outside > _OUTSIDE:
        what = f"{file}: {outside:.0%} of the labelled voxels lie outside the head"
        return [Finding(case, "warning", what, "check that it belongs to this case", file)]
    if share > _LARGEST_SHARE:
        what = f"{file}: {share:.0%} of the brain is labelled, more than any tumour takes"
        return [Finding(case, "warning", what, "check that it is of the tumour, not of the brain's tissues", file)]
    return []


def _interpolated(case: Case, scheme: str) -> list[Finding]:
    """Why codes are unknown, if they came from taking means of codes."""
    if case.labels is None:
        return []
    try:
        values, _ = read_volume(Source(case.labels.path, case.labels.channel))
    except DataError:
        return []
    whole = np.round(values)
    broken = np.abs(values - whole) > 1e-3
    if broken.any():
        shown = ", ".join(f"{value:.3g}" for value in np.unique(values[broken])[:3])
        what = f"{case.labels}: {int(broken.sum())} voxels between the codes ({shown}, ...): it was interpolated"
        return [Finding(case.id, "error", what, _NEAREST, str(case.labels))]
    codes = label_scheme(scheme)
    strange = ~np.isin(whole, list(codes))
    if not strange.any():
        return []
    between = whole[strange].max() < max(codes) and whole[strange].min() > min(codes)
    # A label that somebody drew has an inside; what rounding left between two others is a skin.
    if between and not ndimage.binary_erosion(strange).any():
        shown = ", ".join(f"{value:g}" for value in np.unique(whole[strange])[:3])
        what = f"{case.labels}: unknown label {shown}, a thin layer between others: it was interpolated and rounded"
        return [Finding(case.id, "error", what, _NEAREST, str(case.labels))]
    return []


def _blocks(case: str, file: str, labels: NDArray[np.uint8]) -> list[Finding]:
    """Whether a segmentation goes in steps of several voxels, as one does that was made on a coarser grid."""
    places = np.argwhere(labels > 0)
    if len(places) < _FEWEST_VOXELS:
        return []
    first, last = places.min(axis=0), places.max(axis=0) + 1
    block = labels[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    for axis, name in enumerate("xyz"):
        slices = np.moveaxis(block, axis, 0)
        # Between two foci lie slices without a label, which are equal in every segmentation.
        drawn = slices[slices.any(axis=(1, 2))]
        equal = int((drawn[1:] == drawn[:-1]).all(axis=(1, 2)).sum())
        if len(drawn) >= _FEWEST_SLICES and equal > _EQUAL_SLICES * (len(drawn) - 1):
            step = len(drawn) / (len(drawn) - equal)
            what = f"{file}: goes in steps of {step:.1f} voxels along {name}, as if made on a coarser grid"
            return [Finding(case, "warning", what, _NEAREST, file)]
    return []

"""Hashes by which the same voxels are known again, under whatever name, header or orientation they come."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import hashlib

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray

# Odd constants with well-mixed bits (the golden ratio's, and those of the finaliser of splitmix64).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIXERS = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_LAST_SHIFT = np.uint64(31)


def of_image(image: NDArray[np.float32]) -> str:
    """A hash of the values that are not 0, in whatever order: turning, mirroring and padding leave it as it is.

    Two scans never share the values of a million voxels by chance, and so nothing is lost by leaving out their places.
    """
    values = image[image != 0].view(np.uint32).astype(np.uint64) + _GOLDEN
    for shift, factor in _MIXERS:
        values ^= values >> shift
        values *= factor
    values ^= values >> _LAST_SHIFT
    # Sums wrap, as they should.
    total, spread = values.sum(dtype=np.uint64), (values * values).sum(dtype=np.uint64)
    return f"{len(values)}-{int(total):016x}{int(spread):016x}"


def of_labels(labels: NDArray[np.uint8], affine: NDArray[np.float64]) -> str:
    """A hash of a label map `[X,Y,Z]` in canonical axes, cut to what is labelled; empty if nothing is."""
    inside = np.argwhere(labels > 0)
    if not len(inside):
        return ""
    first, last = inside.min(axis=0), inside.max(axis=0) + 1
    block = labels[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    block = np.ascontiguousarray(apply_orientation(block, io_orientation(affine)))
    return hashlib.sha256(repr(block.shape).encode() + block.tobytes()).hexdigest()[:32]

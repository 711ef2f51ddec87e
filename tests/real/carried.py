"""A patient on other grids: truly turned, or of other voxels. Something is lost on the way; the question is by whom.

All carrying is SciPy's, by coordinates in the scanner's space: linear for images, nearest for labels and masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rewritten import rotation
from scans import Patient
from scipy import ndimage

from limbeck.anatomy import Modality

_MARGIN = 3
_DEGREES = (5, 15)
# Edges of voxels, in those of the patient.
_EDGES = ((1.0, 1.0, 3.0), (1.5, 1.5, 1.5), (0.8, 0.8, 0.8))


@dataclass(frozen=True)
class Lattice:
    """A voxel grid.

    Attributes:
        name: in words.
        shape: voxels along its axes.
        affine: `[4,4]`, voxel indices to millimetres.
    """

    name: str
    shape: tuple[int, ...]
    affine: NDArray[np.float64]


def lattices(patient: Patient) -> Iterator[Lattice]:
    """The grids that a patient is carried onto."""
    for degrees, (axis, name) in product(_DEGREES, (((1, 0, 0), "x"), ((0, 1, 0), "y"), ((0, 0, 1), "z"))):
        yield turned(patient, axis, degrees, f"turned by {degrees} degrees about {name}")
    for edges in _EDGES:
        yield resampled(patient, edges)


def turned(patient: Patient, axis: tuple[float, ...], degrees: float, name: str) -> Lattice:
    """The same voxels, turned about the middle of the head and just large enough for it."""
    head = np.argwhere(np.any([image != 0 for image in patient.images.values()], axis=0))
    points = patient.affine @ np.c_[head, np.ones(len(head))].T
    middle = np.eye(4)
    middle[:3, 3] = points[:3].mean(axis=1)
    affine = middle @ rotation(axis, degrees) @ np.linalg.inv(middle) @ patient.affine
    inside = (np.linalg.inv(affine) @ points)[:3]
    low = np.floor(inside.min(axis=1)) - _MARGIN
    shape = np.ceil(inside.max(axis=1)) + _MARGIN + 1 - low
    affine[:, 3] = affine @ (*low, 1)
    return Lattice(name, tuple(int(size) for size in shape), affine)


def resampled(patient: Patient, edges: tuple[float, float, float]) -> Lattice:
    """Voxels whose edges are so many times the patient's, over the same block of space."""
    shape = np.ceil(np.divide(patient.labels.shape, edges))
    affine = patient.affine @ np.diag([*edges, 1.0])
    affine[:, 3] = patient.affine @ (*(np.asarray(edges) - 1) / 2, 1)
    size = np.linalg.norm(affine[:3, :3], axis=0)
    return Lattice(" x ".join(f"{edge:g}" for edge in size) + " mm", tuple(int(n) for n in shape), affine)


def carried(patient: Patient, lattice: Lattice) -> Patient:
    """The patient on another grid, as most tools do it: linear, so that the head's edge mixes with the background."""
    images = {
        modality: carry(image.astype(np.float32), patient.affine, lattice, order=1)
        for modality, image in patient.images.items()
    }
    return _with(patient, lattice, images)


def sharply_carried(patient: Patient, lattice: Lattice) -> Patient:
    """The same with less loss: cubic, and the background is 0 again."""
    images = {}
    for modality, image in patient.images.items():
        head = carry((image != 0).astype(np.uint8), patient.affine, lattice, order=0)
        values = carry(image.astype(np.float32), patient.affine, lattice, order=3)
        # A voxel of the head that came out at 0 or below would be taken for background.
        images[modality] = np.where(head, np.maximum(values, 1), 0)
    return _with(patient, lattice, images)


def shifted(patient: Patient) -> Patient:
    """With an empty voxel before the first along each axis: nothing is lost, and larger voxels fall elsewhere."""
    affine = patient.affine.copy()
    affine[:, 3] = patient.affine @ (-1, -1, -1, 1)
    images = {modality: np.pad(image, ((1, 0),) * 3) for modality, image in patient.images.items()}
    return replace(patient, images=images, labels=np.pad(patient.labels, ((1, 0),) * 3), affine=affine)


def _with(patient: Patient, lattice: Lattice, images: dict[Modality, NDArray[Any]]) -> Patient:
    labels = carry(patient.labels, patient.affine, lattice, order=0)
    return replace(patient, images=images, labels=labels, affine=lattice.affine)


def own(patient: Patient) -> Lattice:
    """The patient's own grid."""
    return Lattice("own", patient.labels.shape, patient.affine)


def carry(array: NDArray[Any], affine: NDArray[np.float64], onto: Lattice, order: int) -> NDArray[Any]:
    """An array on another grid; 0 where it does not reach."""
    step = np.linalg.inv(affine) @ onto.affine
    moved: NDArray[Any] = ndimage.affine_transform(array, step, output_shape=onto.shape, order=order)
    return moved


def coarsened(labels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A label map over the same block with other voxels, each class by itself, the strongest wins: SciPy's way.

    Beyond two voxels into one, shares are smoothed first, with variance (f^2 - 4) / 12.
    """
    codes = np.unique(labels)
    factors = np.divide(shape, labels.shape)
    sigma = np.sqrt(np.maximum(factors**-2 - 4, 0) / 12)
    shares = []
    for code in codes:
        share = ndimage.gaussian_filter((labels == code).astype(np.float32), sigma, mode="nearest")
        shares.append(ndimage.zoom(share, factors, order=1, grid_mode=True, mode="nearest"))
    result: NDArray[np.uint8] = codes[np.argmax(shares, axis=0)]
    return result

"""One synthetic patient: four sequences and the labels, from two numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from limbeck.anatomy import Label, Modality
from limbeck.phantom import acquisition, cavity, head, mimics, mishaps, tumour
from limbeck.phantom.appearance import Painter
from limbeck.phantom.cavity import Cavity
from limbeck.phantom.field import Field, Lattice, Mask, blur, separable
from limbeck.phantom.head import DRAFT, Head
from limbeck.phantom.tumour import Tumour

# The grid of BraTS: 240 x 240 x 155 at 1 mm, and where the middle of the head lies on it, in mm from its corner.
EXTENT_MM = (240, 240, 155)
_MIDDLE = (120.0, 129.0, 76.5)
_BOX = ((-73.0, 73.0), (-92.0, 92.0), (-76.5, 72.0))


@dataclass(frozen=True)
class Patient:
    """A synthetic patient.

    Attributes:
        name: `phantom-<seed>-<index>`.
        images: float32 `[X,Y,Z]` for each sequence, non-negative, 0 outside the brain; axes as in BraTS: to the
            patient's left, backwards, upwards.
        labels: uint8 `[X,Y,Z]` in `anatomy.Label` codes.
        spacing_mm: voxel size.
    """

    name: str
    images: dict[Modality, Field]
    labels: np.ndarray
    spacing_mm: float


def make(seed: int, index: int, spacing_mm: float = 1.0, *, operated: bool = False) -> Patient:
    """Make one patient, the same for the same arguments; another spacing shows the same anatomy.

    Args:
        seed: of the cohort.
        index: of the patient.
        spacing_mm: voxel size; the grid is 240 x 240 x 155 mm.
        operated: whether a part of the tumour was taken out; the patient is the same but for the hole.
    """
    streams = np.random.default_rng([seed, index]).spawn(5)
    shape, corner, target = grid(spacing_mm)
    own = tumour.plan(streams[1])
    traits = head.traits(streams[0])
    at = head.place(streams[0], traits, DRAFT)
    depth = -head.lobes(at)[0]
    at, squeeze = tumour.pressed(at, own, depth)
    anatomy = head.tissues(head.drawing(streams[0], traits, at), traits, target, squeeze)
    lesion = tumour.grow(streams[1], own, anatomy, target)
    lookalikes = mimics.draw(streams[0], anatomy, target, traits.ventricles)
    hole = cavity.carve(seed, index, own, (anatomy, lesion), target) if operated else None
    painter = Painter(streams[2], own, (anatomy, lesion, lookalikes), target, hole)
    mask = acquisition.stripped(streams[3], anatomy, traits.margin, target)
    labels = _labels(own.water, spacing_mm, (anatomy, lesion, hole), mask)
    images = {}
    for modality in Modality:
        faults = acquisition.draw(streams[3], modality)
        mishap = mishaps.draw(streams[4])
        signal = mishaps.disturbed(painter.paint(streams[2], modality), mishap, target)
        seen = acquisition.acquire(streams[3], signal, faults, target)
        inside = mask & mishaps.covered(mishap, target)
        images[modality] = _embedded(np.where(inside, np.maximum(seen, 1), np.float32(0)), shape, corner)
    return Patient(f"phantom-{seed}-{index:05d}", images, _embedded(labels, shape, corner), spacing_mm)


def grid(spacing_mm: float) -> tuple[tuple[int, int, int], tuple[int, int, int], Lattice]:
    """The full grid's shape, the corner of the box that holds the head, and that box as a lattice."""
    shape = [ceil(extent / spacing_mm) for extent in EXTENT_MM]
    first, corner, count = [], [], []
    for a in range(3):
        start = max(0, int((_BOX[a][0] + _MIDDLE[a]) / spacing_mm))
        stop = min(shape[a], ceil((_BOX[a][1] + _MIDDLE[a]) / spacing_mm))
        corner.append(start)
        count.append(stop - start)
        first.append((start + 0.5) * spacing_mm - _MIDDLE[a])
    box = Lattice((first[0], first[1], first[2]), spacing_mm, (count[0], count[1], count[2]))
    return (shape[0], shape[1], shape[2]), (corner[0], corner[1], corner[2]), box


def _labels(water: float, spacing_mm: float, parts: tuple[Head, Tumour, Cavity | None], mask: Mask) -> np.ndarray:
    """Codes by what can be seen: a hole, else gadolinium, else core, else a clear rise of water."""
    anatomy, lesion, hole = parts
    # Readers draw smooth borders: what is thinner than a mm or two they neither see nor leave out.
    smooth = [blur(n, 1.0 / spacing_mm) for n in mask.shape]
    rise = separable(lesion.water, (smooth[0], smooth[1], smooth[2]))
    dry = separable(anatomy.fluid, (smooth[0], smooth[1], smooth[2])) < 0.5
    visible = (rise > 0.36 * water) & dry
    labels = np.zeros(mask.shape, np.uint8)
    labels[visible] = Label.OEDEMA
    core = lesion.core > 0.5
    labels[core] = Label.NECROTIC_CORE
    labels[core & (lesion.enhancing > 0.4)] = Label.ENHANCING
    if hole is not None:
        labels[hole.labelled] = Label.RESECTION_CAVITY
    labels[~mask] = Label.BACKGROUND
    return labels


def _embedded(part: np.ndarray, shape: tuple[int, int, int], corner: tuple[int, int, int]) -> np.ndarray:
    whole = np.zeros(shape, part.dtype)
    whole[tuple(slice(c, c + n) for c, n in zip(corner, part.shape, strict=True))] = part
    return whole

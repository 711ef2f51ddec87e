"""Patients who were operated: a hole where a part of the tumour was, as follow-up scans show it.

The surgeon comes from the nearest surface and takes most of the core, or the side that faces him. The hole fills with
fluid, clear or stained by blood that sinks to the back, with or without clots on its wall; it may stay open to the
surface and to a ventricle. The wall scars and takes up gadolinium in a thin line; where less was taken than was there,
a remnant stays on it. Oedema, mass effect and all else are the patient's own.

What counts as what follows the rules of BraTS 2024 (de Verdier et al., arXiv:2405.18368): the hole has a label of its
own, and a thin line of enhancement along it is no tumour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from limbeck.phantom.field import Field, Lattice, Mask, blur, noise, separable, soft
from limbeck.phantom.head import Head
from limbeck.phantom.shapes import Points, Triple, common, joined, tube
from limbeck.phantom.share import SILVER, belongs
from limbeck.phantom.tumour import Plan, Tumour

# Apart from the streams that draw the patient, so that all but the hole stays as it is.
_STREAM = 3_141_837
# A hole is never smaller than the way to it.
_LEAST_RADIUS_MM = 7.0
# Farther below the surface the way in has closed again.
_DEEPEST_WAY_MM = 40.0
_NEAR_VENTRICLE_MM = 6.0


@dataclass(frozen=True)
class Cavity:
    """A hole on the grid of the images; fields are `[X,Y,Z]`.

    Attributes:
        hole: share of the hole, 0..1.
        labelled: where it is labelled: not in a ventricle, nor outside the brain.
        scar: share of the scar along its wall, 0..1.
        dose: gadolinium in the scar, mmol/L.
        clot: share of clotted blood, 0..1.
        stain: share of blood in the fluid, 0..1.
    """

    hole: Field
    labelled: Mask
    scar: Field
    dose: float
    clot: Field
    stain: Field


def operated(seed: int, index: int, share: float) -> bool:
    """Whether a patient of a cohort was operated, where a share of the patients, 0..1, were."""
    return belongs(seed, index, share, stream=_STREAM, step=SILVER)


def carve(seed: int, index: int, own: Plan, parts: tuple[Head, Tumour], target: Lattice) -> Cavity:
    """Operate on a patient.

    Args:
        seed: of the cohort.
        index: of the patient.
        own: the tumour's plan.
        parts: the head and the tumour, on `target`.
        target: the grid of the images.
    """
    rng = np.random.default_rng([seed, index, _STREAM])
    head, tumour = parts
    way = _way(rng, own, head, target)
    distance = _opened(rng, _taken(rng, own, tumour, way, target), own, head, way, target)
    # Walls are uneven, and nobody cuts the brain stem.
    distance = common(distance + np.float32(0.7) * noise(rng, 5.0, target), 3 - head.stem, 2)
    width = max(1.6, target.spacing)
    hole = np.asarray(soft(distance, width) * head.mask, dtype=np.float32)
    thick = np.float32(rng.uniform(0.6, 2.0) if rng.random() < 0.8 else 0.0)
    uneven = thick * np.clip(1 + 0.7 * noise(rng, 7.0, target), 0, 2)
    scar = soft(distance - uneven, width) * (1 - hole) * (1 - head.fluid) * (uneven > 0) * head.mask
    clot, stain = _blood(rng, own, distance, target)
    return Cavity(
        hole=hole,
        labelled=np.asarray((hole > 0.5) & (head.ventricle > 0) & (head.rim < 0.5)),
        scar=np.asarray(scar, dtype=np.float32),
        dose=float(rng.uniform(0.1, 0.4)),
        clot=clot,
        stain=stain,
    )


@dataclass(frozen=True)
class _Way:
    """The surgeon's way: where it enters, its direction from the focus outwards, and its length in mm."""

    entry: Triple
    outwards: Triple
    length: float


def _way(rng: np.random.Generator, own: Plan, head: Head, target: Lattice) -> _Way:
    """The shortest of some ways between the focus and the surface of its own half of the cerebrum, not from below."""
    ways = rng.standard_normal((80, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    focus = np.array(own.foci[0])
    ways = ways[(ways[:, 2] > -0.3) & (ways[:, 0] * np.sign(focus[0]) > -0.1)]
    steps = np.arange(0.0, 90.0, 1.5)
    points = focus + steps[:, None, None] * ways
    index = np.moveaxis((points - np.array(target.first)) / target.spacing, -1, 0)
    outside = ndimage.map_coordinates(head.surface, index, order=1, mode="nearest") > 0
    lengths = np.where(outside.any(0), steps[np.argmax(outside, axis=0)], steps[-1])
    best = int(np.argmin(lengths))
    return _Way(_triple(focus + lengths[best] * ways[best]), _triple(ways[best]), float(lengths[best]))


def _taken(rng: np.random.Generator, own: Plan, tumour: Tumour, way: _Way, target: Lattice) -> Field:
    """Signed distance to what was taken of the tumour."""
    smooth = [blur(n, 2.5 / target.spacing) for n in target.shape]
    border = separable(np.clip(tumour.distance, -15, 12), (smooth[0], smooth[1], smooth[2]))
    lumps = np.clip(noise(rng, 12.0, target), -2, 2)
    # Where the margin is negative, a remnant stays. Far from the core no margin, of 10 mm at most, is wide enough.
    margin = np.float32(rng.uniform(0.5, 5.0)) - np.float32(rng.uniform(0.3, 2.5)) * lumps
    taken = np.where(border < 11, border, np.float32(30)) - margin
    at, focus = target.coordinates(), own.foci[0]
    part, cut = rng.random() < 0.35, np.float32(own.radius_mm * rng.uniform(-0.8, 0.1))
    if part:
        outwards = sum(np.float32(way.outwards[a]) * (at[a] - np.float32(focus[a])) for a in range(3))
        taken = common(taken, np.asarray(cut - outwards + 2 * lumps, dtype=np.float32), 5)
    # Other foci are left alone.
    for other in own.foci[1:]:
        middle = (_away(at, focus) - _away(at, other)) / 2
        taken = common(taken, np.asarray(middle, dtype=np.float32), 4)
    least = _away(at, focus) - np.float32(_LEAST_RADIUS_MM) + np.float32(1.5) * lumps
    return joined(np.asarray(taken, dtype=np.float32), np.asarray(least, dtype=np.float32), 4)


def _opened(rng: np.random.Generator, distance: Field, own: Plan, head: Head, way: _Way, target: Lattice) -> Field:
    """The hole with its ways to the surface and into a ventricle, where they stayed open."""
    at = target.coordinates()
    to_surface, to_ventricle = rng.random(2) < (0.65, 0.6)
    wide, narrow, bore = (float(radius) for radius in rng.uniform((6, 4, 2.5), (13, 10, 5)))
    if to_surface and way.length < _DEEPEST_WAY_MM:
        beyond = _triple(np.array(way.entry) + 8 * np.array(way.outwards))
        distance = joined(distance, tube(at, [own.foci[0], beyond], [wide, narrow]), 5)
    near = np.where(distance < 0, head.ventricle, np.float32(np.inf))
    if to_ventricle and 0 < near.min() < _NEAR_VENTRICLE_MM:
        mouth = _place(int(np.argmin(near)), target)
        away = np.where(head.ventricle < -1, _away(at, mouth), np.float32(np.inf))
        if np.isfinite(away.min()):
            end = _place(int(np.argmin(away)), target)
            distance = joined(distance, tube(at, [mouth, end], [bore, bore]), 3)
    return distance


def _blood(rng: np.random.Generator, own: Plan, distance: Field, target: Lattice) -> tuple[Field, Field]:
    """Share of clots on the wall, and of blood in the fluid: none, evenly spread, or sunk to the back."""
    lumps = noise(rng, 8.0, target)
    clotted, stained, sunk = rng.random(3) < (0.35, 0.4, 0.4)
    level = np.float32(rng.uniform(0.6, 1.6))
    clot = soft(level - lumps, 0.5) * soft(np.abs(distance + 1) - 2.2, 1.5) * np.float32(clotted)
    strength = np.float32(np.exp(rng.uniform(np.log(0.005), np.log(0.08))) if stained else 0.0)
    surface = own.foci[0][1] + rng.uniform(-0.5, 0.5) * own.radius_mm
    backwards = np.broadcast_to(target.coordinates()[1], target.shape)
    share = 0.3 + 2.7 * soft(surface - backwards, 1.5) if sunk else np.ones(target.shape, np.float32)
    return np.asarray(clot, dtype=np.float32), np.asarray(strength * share, dtype=np.float32)


def _away(at: Points, point: Triple) -> Field:
    """Distance to a point."""
    return np.asarray(np.sqrt(sum((at[a] - np.float32(point[a])) ** 2 for a in range(3))), dtype=np.float32)


def _place(flat: int, target: Lattice) -> Triple:
    """Where a voxel lies, in mm."""
    index = np.unravel_index(flat, target.shape)
    return _triple(np.array(target.first) + target.spacing * np.array(index))


def _triple(point: np.ndarray) -> Triple:
    return float(point[0]), float(point[1]), float(point[2])

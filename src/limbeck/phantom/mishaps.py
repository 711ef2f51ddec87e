"""What goes wrong in one sequence now and then: the head moves, the matrix is small, the slab is too short.

Each is drawn from a stream of its own, so that a sequence which is spared is the one it would be without this module.
Routine glioma scans are so: motion, thin coverage and coarse sequences are the usual reasons why quality control of
large collections leaves a scan out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limbeck.phantom.field import Along, Field, Lattice, Mask, blur, move, separable


@dataclass(frozen=True)
class Mishap:
    """What happened to one sequence.

    Attributes:
        coarse_mm: standard deviation of an additional blur in all directions; 0 for none.
        ghost_share: signal that motion moved elsewhere, by replica; empty without motion.
        ghost_mm: how far along `ghost_axis` each replica lies.
        ghost_axis: the phase-encoding axis.
        smear_mm: standard deviation of the blur along that axis.
        floor_mm: height below which nothing was imaged, in the head's coordinates.
        ceiling_mm: height above which nothing was.
        tilt: how much the slab's ends rise from back to front, in mm a mm.
    """

    coarse_mm: float = 0.0
    ghost_share: tuple[float, ...] = ()
    ghost_mm: tuple[float, ...] = ()
    ghost_axis: int = 1
    smear_mm: float = 0.0
    floor_mm: float = -np.inf
    ceiling_mm: float = np.inf
    tilt: float = 0.0


def draw(rng: np.random.Generator) -> Mishap:
    """Draw one sequence's mishaps; seven sequences in ten are spared."""
    coarse, moved, short = rng.random(3) < (0.15, 0.12, 0.05)
    coarse_mm = float(rng.uniform(0.7, 1.4))
    count = int(rng.integers(1, 4))
    share, away = rng.uniform(0.02, 0.10, count), rng.uniform(5, 45, count) * rng.choice([-1, 1], count)
    axis, smear = int(rng.integers(2)), float(rng.uniform(0.4, 1.3))
    floor, ceiling = float(rng.uniform(-60, -40)), float(rng.uniform(48, 62))
    low, tilt = rng.random() < 0.7, float(rng.uniform(-0.2, 0.2))
    return Mishap(
        coarse_mm=coarse_mm if coarse else 0.0,
        ghost_share=tuple(map(float, share)) if moved else (),
        ghost_mm=tuple(map(float, away)) if moved else (),
        ghost_axis=axis,
        smear_mm=smear if moved else 0.0,
        floor_mm=floor if short and low else -np.inf,
        ceiling_mm=ceiling if short and not low else np.inf,
        tilt=tilt,
    )


def disturbed(image: Field, mishap: Mishap, target: Lattice) -> Field:
    """The noiseless signal `[X,Y,Z]` as it reaches the scanner."""
    if mishap.ghost_share:
        still = image * np.float32(1 - sum(mishap.ghost_share))
        for share, away in zip(mishap.ghost_share, mishap.ghost_mm, strict=True):
            still = still + np.float32(share) * _beside(image, away, mishap.ghost_axis, target)
        image = still
    sigmas = [mishap.coarse_mm] * 3
    sigmas[mishap.ghost_axis] = float(np.hypot(mishap.coarse_mm, mishap.smear_mm))
    blurs: list[Along] = [blur(target.shape[axis], sigmas[axis] / target.spacing) for axis in range(3)]
    return separable(image, (blurs[0], blurs[1], blurs[2])) if any(matrix is not None for matrix in blurs) else image


def covered(mishap: Mishap, target: Lattice) -> Mask:
    """Where the sequence was imaged at all, `[X,Y,Z]`, or something that broadcasts to it."""
    _, ahead, height = target.coordinates()
    level = height + np.float32(mishap.tilt) * ahead
    return np.asarray((level > mishap.floor_mm) & (level < mishap.ceiling_mm))


def _beside(image: Field, away_mm: float, axis: int, target: Lattice) -> Field:
    """The image moved along an axis; nothing comes in from outside."""
    first = list(target.first)
    first[axis] += away_mm
    wide = move(image, Lattice((first[0], first[1], first[2]), target.spacing, target.shape), target, "linear")
    at = target.coordinates()[axis]
    outside = (at < first[axis]) | (at > first[axis] + target.spacing * (target.shape[axis] - 1))
    return np.where(outside, np.float32(0), wide)

"""What a scanner and its pipeline do to an image: resolution, coil shading, noise, windowing, and skull stripping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limbeck.anatomy import Modality
from limbeck.phantom.field import Along, Field, Lattice, Mask, blur, grain, noise, separable, slices
from limbeck.phantom.head import Head


@dataclass(frozen=True)
class Faults:
    """The faults of one sequence.

    Attributes:
        blur_mm: standard deviation of the point spread by axis.
        slice_mm: slice thickness; at or below the spacing there are no slices to see.
        slice_axis: axis across the slices.
        phase: where the first slice lies, 0..1 of a thickness.
        bias: strength of coil shading, standard deviation of the log.
        noise: standard deviation of the noise relative to white matter.
        gamma: exponent of the windowing curve.
        scale: intensity of white matter in the file.
    """

    blur_mm: tuple[float, float, float]
    slice_mm: float
    slice_axis: int
    phase: float
    bias: float
    noise: float
    gamma: float
    scale: float


def draw(rng: np.random.Generator, modality: Modality) -> Faults:
    """Draw one sequence's faults; T1ce is the sharpest of the four, FLAIR the most often thick."""
    thick_share = 0.35 if modality is Modality.T1CE else 0.6
    thick = float(rng.uniform(2.0, 5.5)) if rng.random() < thick_share else 1.0
    in_plane = float(rng.uniform(0.3, 0.85))
    axis = int(rng.choice(3, p=[0.12, 0.08, 0.8]))
    blur = [in_plane, in_plane, in_plane]
    blur[int(rng.integers(3))] *= float(rng.uniform(0.8, 1.4))
    return Faults(
        blur_mm=(blur[0], blur[1], blur[2]),
        slice_mm=thick,
        slice_axis=axis,
        phase=float(rng.random()),
        bias=float(rng.uniform(0.02, 0.15)),
        noise=float(np.exp(rng.uniform(np.log(0.008), np.log(0.06)))),
        gamma=float(np.exp(rng.normal(0, 0.18))),
        scale=float(np.exp(rng.uniform(np.log(150), np.log(2500)))),
    )


def acquire(rng: np.random.Generator, image: Field, faults: Faults, target: Lattice) -> Field:
    """The image as the scanner gives it: blurred, shaded, noisy, windowed; white matter near `faults.scale`."""
    sigma = [mm / target.spacing for mm in faults.blur_mm]
    blurs = [blur(target.shape[a], sigma[a]) for a in range(3)]
    axis = faults.slice_axis
    thick = slices(target.shape[axis], faults.slice_mm / target.spacing, faults.phase)
    if thick is not None:
        blurs[axis] = thick if blurs[axis] is None else thick @ blurs[axis]
    seen = separable(image, (blurs[0], blurs[1], blurs[2]))
    shading = np.exp(np.float32(faults.bias) * (noise(rng, 60.0, target) + 0.5 * noise(rng, 30.0, target)))
    seen = seen * shading
    # Resampling to the common grid has smoothed the noise too: a little in plane, more across slices.
    soft_noise = [blur(target.shape[a], float(rng.uniform(0.3, 0.75)) / target.spacing) for a in range(3)]
    if thick is not None:
        soft_noise[axis] = thick
    parts = [separable(rng.standard_normal(target.shape, dtype=np.float32), _triple(soft_noise)) for _ in range(2)]
    # Thick slices hold more signal, hence less noise.
    level = np.float32(faults.noise / max(float(parts[0].std()), 1e-6) / max(faults.slice_mm, 1.0) ** 0.3)
    seen = np.sqrt((seen + level * parts[0]) ** 2 + (level * parts[1]) ** 2)
    return np.asarray(np.float32(faults.scale) * np.clip(seen, 0, None) ** np.float32(faults.gamma), dtype=np.float32)


def stripped(rng: np.random.Generator, head: Head, margin_mm: float, target: Lattice) -> Mask:
    """The brain mask of an automatic skull stripping: too wide here, too narrow there, cut by the field of view."""
    wander = noise(rng, 22.0, target) * np.float32(rng.uniform(0.4, 1.6)) + 0.5 * grain(rng, 5.0, target)
    mask = head.rim < np.float32(margin_mm) + wander
    if rng.random() < 0.3:
        # Bites where the stripping went wrong, shallow and broad.
        mask &= ~((noise(rng, 30.0, target) > 1.9) & (head.rim > -rng.uniform(2, 7)))
    height = target.coordinates()[2]
    if rng.random() < 0.45:
        mask &= height > rng.uniform(-76, -58)
    return np.asarray(mask)


def _triple(items: list[Along]) -> tuple[Along, Along, Along]:
    return items[0], items[1], items[2]

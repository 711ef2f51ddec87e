"""How a tumour, and the fluid around it, spread: the Fisher-Kolmogorov equation on a coarse lattice.

    du/dt = div(D grad u) + rho u (1 - u)

with a diffusivity D that differs by tissue and by axis (Swanson et al., Cell Prolif 2000;33:317; Clatz et al., IEEE
Trans Med Imaging 2005;24:1334). Its solutions are fronts of speed 2 sqrt(D rho). What is kept is the time at which
the front (u = 1/2) arrives, from which nested regions and soft borders follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limbeck.phantom.field import Field, Lattice

PLATE = Lattice((-74.0, -94.0, -80.0), 3.0, (51, 64, 53))

_RHO = 0.08
_FASTEST = 2.5
# A front in tissue of diffusivity one moves so many mm per unit of time.
_SPEED = 2 * _RHO**0.5
_LIMIT = 420


@dataclass(frozen=True)
class Front:
    """A finished spread on the plate.

    Attributes:
        distance: mm ahead of the front along its way, negative where it has passed; at most 12 where it never came.
        volume_ml: volume behind the front.
    """

    distance: Field
    volume_ml: float


def spread(start: Field, mobility: tuple[Field, Field, Field], volume_ml: float) -> Front:
    """Let a density spread from `start` until the volume where it exceeds one half reaches `volume_ml`.

    Args:
        start: density on the plate, `[X,Y,Z]` in 0..1.
        mobility: diffusivity along each axis relative to white matter, each `[X,Y,Z]`.
        volume_ml: when to stop; growth that comes to rest earlier stops there.
    """
    faces = [np.sqrt(_ahead(mobility[a], a) * _behind(mobility[a], a)).clip(0, _FASTEST) for a in range(3)]
    step = np.float32(0.95 * PLATE.spacing**2 / (2 * 3 * _FASTEST))
    share = step / np.float32(PLATE.spacing**2)
    density = start.astype(np.float32).copy()
    arrival = np.where(density >= 0.5, np.float32(0), np.float32(np.inf))
    wanted = volume_ml * 1000 / PLATE.spacing**3
    reached, stop, time = float((density >= 0.5).sum()), 0.0, 0.0
    # Cells that hardly conduct take part in no reaction either, else the numerical tail would fill the ventricles.
    reaction = np.float32(_RHO * step) * np.asarray(sum(mobility) > 0.06, dtype=np.float32)
    for _ in range(_LIMIT):
        before = density
        density = before + reaction * before * (1 - before)
        for a in range(3):
            flow = share * faces[a] * (_ahead(before, a) - _behind(before, a))
            _behind(density, a)[...] += flow
            _ahead(density, a)[...] -= flow
        crossed = (density >= 0.5) & (before < 0.5)
        arrival[crossed] = time + step * (0.5 - before[crossed]) / (density[crossed] - before[crossed])
        time += float(step)
        reached += float(crossed.sum())
        if reached < wanted:
            stop = time
        elif time > stop + 9.0 / _SPEED:
            break
    distance = np.clip((arrival - np.float32(stop)) * np.float32(_SPEED), -60, 12)
    return Front(np.asarray(distance, dtype=np.float32), float((distance < 0).sum()) * PLATE.spacing**3 / 1000)


def ball(centre: tuple[float, float, float], radius: float) -> Field:
    """A soft ball on the plate, 1 inside and 0 outside, with a border of one spacing."""
    at = PLATE.coordinates()
    away = np.sqrt(sum((at[a] - np.float32(centre[a])) ** 2 for a in range(3)))
    return np.asarray(np.clip(0.5 + (np.float32(radius) - away) / np.float32(PLATE.spacing), 0, 1), dtype=np.float32)


def _ahead(field: Field, axis: int) -> Field:
    return field[tuple(slice(1, None) if a == axis else slice(None) for a in range(3))]


def _behind(field: Field, axis: int) -> Field:
    return field[tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))]

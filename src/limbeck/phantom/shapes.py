"""Solid shapes as signed distances in mm, negative inside: ellipsoids, tubes along a path, and their unions."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import numpy as np

from limbeck.phantom.field import Field

Points: TypeAlias = tuple[Field, Field, Field]
Triple: TypeAlias = tuple[float, float, float]


def ellipsoid(at: Points, centre: Triple, radii: Triple) -> Field:
    """Signed distance to an ellipsoid, to first order: exact on the surface, close to it nearby."""
    away = [at[a] - np.float32(centre[a]) for a in range(3)]
    level = sum((away[a] / np.float32(radii[a])) ** 2 for a in range(3))
    steep = sum((away[a] / np.float32(radii[a] ** 2)) ** 2 for a in range(3))
    root = np.sqrt(np.asarray(level, dtype=np.float32))
    return np.asarray(root * (root - 1) / np.sqrt(np.asarray(steep) + np.float32(1e-9)), dtype=np.float32)


def tube(at: Points, path: list[Triple], radii: list[float]) -> Field:
    """Signed distance to a tube along a path of straight pieces, with a radius at each corner."""
    nearest: Field | None = None
    for (start, end), (wide, narrow) in zip(pairwise(path), pairwise(radii), strict=True):
        step = [end[a] - start[a] for a in range(3)]
        away = [at[a] - np.float32(start[a]) for a in range(3)]
        length = sum(s * s for s in step)
        share = np.clip(sum(away[a] * np.float32(step[a] / length) for a in range(3)), 0, 1)
        square = sum((away[a] - share * np.float32(step[a])) ** 2 for a in range(3))
        piece = np.sqrt(square) - (np.float32(wide) + share * np.float32(narrow - wide))
        nearest = piece if nearest is None else np.minimum(nearest, piece)
    if nearest is None:
        raise ValueError("a tube needs a path of two points")
    return np.asarray(nearest, dtype=np.float32)


def joined(first: Field, second: Field, blend: float = 0.0) -> Field:
    """Union of two shapes; `blend` mm rounds the crease between them (a polynomial smooth minimum)."""
    if blend <= 0:
        return np.minimum(first, second)
    share = np.clip(0.5 + 0.5 * (second - first) / np.float32(blend), 0, 1)
    return np.asarray(second + (first - second) * share - np.float32(blend) * share * (1 - share), dtype=np.float32)


def common(first: Field, second: Field, blend: float = 0.0) -> Field:
    """Intersection of two shapes, the edge rounded over `blend` mm."""
    return -joined(-first, -second, blend)

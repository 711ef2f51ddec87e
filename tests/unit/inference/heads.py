"""Heads of noise that compute in no time, and runs of untrained networks, as `limbeck train` would leave them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limbeck.anatomy import Modality, Subset
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.methods.saved import Card, save
from limbeck.normalisation import Normalisation
from limbeck.target import Target

SPACING_MM = 3.0
SHAPE = (14, 16, 12)


def affine(spacing: Iterable[float] = (3.0, 3.0, 3.0)) -> NDArray[np.float64]:
    """Axes towards the patient's left and back, as BraTS has them."""
    result = np.diag([*(np.array(list(spacing)) * (-1, -1, 1)), 1.0])
    result[:3, 3] = (21, 24, -18)
    return result


def head(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> dict[str, NDArray[np.float32]]:
    """An ellipsoid of noise for each role; no two alike, none symmetrical."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1.15, 1.15, size) for size in shape), indexing="ij")
    brain = (x - 0.1) ** 2 + y**2 + z**2 < 1
    return {
        modality.role: np.where(brain, 100 + 30 * x + rng.normal(0, 20, shape), 0).astype(np.float32)
        for modality in Modality
    }


def make_run(
    folder: Path,
    method: str = "supervised",
    subset: str = "flair",
    *,
    seed: int = 0,
    fold: int = 0,
    spacing_mm: float = SPACING_MM,
    normalisation: Normalisation = Normalisation.Z_SCORE,
    target: Target | None = None,
    done: bool = True,
) -> Path:
    """A finished run of an untrained network; as if trained, by its card."""
    torch.manual_seed(100 * fold + seed)
    kind = find(method)
    subsets = Subset.every() if kind.generalist else (Subset.parse(subset),)
    made = build(method, kind.Settings(width=8), Context(subsets))
    origin: dict[str, Any] = {"fold": fold, "folds": 5, "seed": seed, "data": "d" * 64, "validation_dice": 0.5}
    origin["experiment"] = f"{hash_of(method, subset, seed, fold):064x}"
    card = Card(
        method, {"width": 8, "dropout": 0.0}, subsets, target or kind.target, spacing_mm, (8, 16, 16), 3,
        normalisation=normalisation, origin=origin,
    )  # fmt: skip
    save(folder / "best", made, card)
    save(folder / "last", made, card, {"random/cpu": torch.get_rng_state()})
    (folder / "environment.json").write_text(json.dumps({"sessions": [{"training_cases": 7}]}))
    if done:
        (folder / "DONE").write_text("{}")
    return folder


def hash_of(*parts: object) -> int:
    """A number as long as the beginning of a digest, in the same place of a name."""
    return sum((index + 1) * ord(letter) for index, letter in enumerate(repr(parts))) << 230

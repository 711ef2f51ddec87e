"""Dice and HD95 against MONAI and against every pair of surface voxels, on cases that break metrics."""

import itertools

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from limbeck.evaluation.metrics import dice, hd95_mm

metrics = pytest.importorskip("monai.metrics")

SPACINGS = [(1.0, 1.0, 1.0), (0.5, 0.9, 5.0), (3.0, 1.0, 0.4)]


def box(*corners: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((14, 12, 10), dtype=bool)
    mask[tuple(slice(*corner) for corner in corners)] = True
    return mask


def ball(centre: tuple[int, int, int], radius: float) -> np.ndarray:
    grid = np.indices((14, 12, 10)) - np.array(centre)[:, None, None, None]
    return (grid**2).sum(0) <= radius**2


def speckle(seed: int, density: float) -> np.ndarray:
    return np.random.default_rng(seed).random((14, 12, 10)) < density


PAIRS = {
    "one voxel each, apart": (box((2, 3), (3, 4), (4, 5)), box((9, 10), (8, 9), (7, 8))),
    "one voxel, the same": (box((2, 3), (3, 4), (4, 5)), box((2, 3), (3, 4), (4, 5))),
    "one voxel in a ball": (box((7, 8), (6, 7), (5, 6)), ball((7, 6, 5), 4)),
    "touching boxes": (box((1, 5), (2, 8), (2, 8)), box((5, 9), (2, 8), (2, 8))),
    "border contact": (box((0, 5), (0, 12), (0, 4)), box((0, 6), (2, 12), (0, 10))),
    "whole image": (box((0, 14), (0, 12), (0, 10)), ball((7, 6, 5), 3)),
    "hollow": (ball((7, 6, 5), 5) & ~ball((7, 6, 5), 2), ball((7, 6, 5), 5)),
    "two blobs against one": (ball((3, 3, 3), 2) | ball((11, 9, 7), 2), ball((3, 3, 3), 2)),
    "one stray voxel": (ball((5, 5, 5), 4) | box((13, 14), (11, 12), (9, 10)), ball((5, 5, 5), 4)),
    "speckle": (speckle(1, 0.2), speckle(2, 0.05)),
    "line": (box((0, 14), (4, 5), (4, 5)), box((2, 13), (6, 7), (4, 5))),
}
EMPTY = np.zeros((14, 12, 10), dtype=bool)


def brute_force(first: np.ndarray, second: np.ndarray, spacing: tuple[float, ...]) -> float:
    points = [np.argwhere(mask & ~interior(mask)) * np.array(spacing) for mask in (first, second)]
    distances = cdist(*points)
    return max(np.percentile(distances.min(axis=1), 95), np.percentile(distances.min(axis=0), 95))


def interior(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    inside = padded.copy()
    for axis, shift in itertools.product(range(3), (-1, 1)):
        inside &= np.roll(padded, shift, axis)
    return inside[1:-1, 1:-1, 1:-1]


def tensor(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask)[None, None].float()


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("searched_up_to", [0, 10**9], ids=["mapped", "searched"])
def test_hd95_equals_monai_and_brute_force(name, spacing, searched_up_to, monkeypatch):
    monkeypatch.setattr("limbeck.evaluation.metrics._FEW_SURFACE_VOXELS", searched_up_to)
    prediction, reference = PAIRS[name]
    ours = hd95_mm(prediction, reference, spacing)
    theirs = metrics.compute_hausdorff_distance(
        tensor(prediction), tensor(reference), include_background=True, percentile=95, spacing=spacing
    )
    assert ours == pytest.approx(brute_force(prediction, reference, spacing), rel=1e-12, abs=1e-12)
    assert ours == pytest.approx(theirs.item(), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_dice_equals_monai(name):
    prediction, reference = PAIRS[name]
    theirs = metrics.compute_dice(tensor(prediction), tensor(reference), include_background=True, ignore_empty=False)
    assert dice(prediction, reference) == pytest.approx(theirs.item(), rel=1e-6)


@pytest.mark.parametrize(("prediction", "reference"), [(EMPTY, EMPTY), (EMPTY, PAIRS["hollow"][0])])
def test_dice_of_empty_masks_equals_monai_when_told_to_count_them(prediction, reference):
    for pair in ((prediction, reference), (reference, prediction)):
        theirs = metrics.compute_dice(*map(tensor, pair), include_background=True, ignore_empty=False)
        assert dice(*pair) == theirs.item()

"""Metrics against MONAI and against every pair of surface voxels, on cases that break metrics.

Where MONAI lets one choose, it is asked for what `table.DEFINITIONS` says: the mean surface distance over the voxels of
both surfaces together (`symmetric=True`), and surface Dice that counts voxels (`use_subvoxels=False`; the other weights
them by area, as DeepMind's program and, for HD95, BraTS 2023's do). For empty sides MONAI gives NaN or infinity, or a
number with a warning; ours follow the stated policy, and are not compared.
"""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.distance import cdist

from limbeck.evaluation.lesions import match
from limbeck.evaluation.metrics import METRICS, dice, hd95_mm, msd_mm, surface_dice_1mm, surface_dice_2mm
from limbeck.evaluation.pair import Pair

monai = pytest.importorskip("monai.metrics")

ISO = (1.0, 1.0, 1.0)
SPACINGS = [ISO, (0.5, 0.9, 5.0), (3.0, 1.0, 0.4)]


def box(*corners: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((14, 12, 10), dtype=bool)
    mask[tuple(slice(*corner) for corner in corners)] = True
    return mask


def ball(centre: tuple[int, int, int], radius: float) -> np.ndarray:
    grid = np.indices((14, 12, 10)) - np.array(centre)[:, None, None, None]
    return (grid**2).sum(0) <= radius**2


def speckle(seed: int, density: float) -> np.ndarray:
    return np.random.default_rng(seed).random((14, 12, 10)) < density


def blobs(seed: int) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((14, 12, 10)), 1.5)
    return noise > noise.std()


PAIRS = {
    "one voxel each, apart": (box((2, 3), (3, 4), (4, 5)), box((9, 10), (8, 9), (7, 8))),
    "one voxel, the same": (box((2, 3), (3, 4), (4, 5)), box((2, 3), (3, 4), (4, 5))),
    "one voxel in a ball": (box((7, 8), (6, 7), (5, 6)), ball((7, 6, 5), 4)),
    "one voxel in a corner": (box((0, 1), (0, 1), (0, 1)), ball((7, 6, 5), 4)),
    "touching boxes": (box((1, 5), (2, 8), (2, 8)), box((5, 9), (2, 8), (2, 8))),
    "lesions that touch at a corner": (box((1, 4), (1, 4), (1, 4)) | box((4, 7), (4, 7), (4, 7)), ball((4, 4, 4), 3)),
    "border contact": (box((0, 5), (0, 12), (0, 4)), box((0, 6), (2, 12), (0, 10))),
    "whole image": (box((0, 14), (0, 12), (0, 10)), ball((7, 6, 5), 3)),
    "hollow": (ball((7, 6, 5), 5) & ~ball((7, 6, 5), 2), ball((7, 6, 5), 5)),
    "two blobs against one": (ball((3, 3, 3), 2) | ball((11, 9, 7), 2), ball((3, 3, 3), 2)),
    "one stray voxel": (ball((5, 5, 5), 4) | box((13, 14), (11, 12), (9, 10)), ball((5, 5, 5), 4)),
    "speckle": (speckle(1, 0.2), speckle(2, 0.05)),
    "blobs": (blobs(3), blobs(4)),
    "line": (box((0, 14), (4, 5), (4, 5)), box((2, 13), (6, 7), (4, 5))),
}
EMPTY = np.zeros((14, 12, 10), dtype=bool)

EACH = pytest.mark.parametrize("name", PAIRS)
SPACED = pytest.mark.parametrize("spacing", SPACINGS)


def both_ways(metric, name: str, spacing: tuple[float, ...]) -> list[float]:
    """Ours, by a map of distances and by a search for the nearest voxel."""
    found = []
    for largest_map in (10**9, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("limbeck.evaluation.surfaces._SMALL_BOX_VOXELS", largest_map)
            found.append(metric(Pair(*PAIRS[name], spacing)))
    return found


def brute_force(first: np.ndarray, second: np.ndarray, spacing: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Distances both ways, from each surface voxel to all of the other surface."""
    points = [np.argwhere(mask & ~interior(mask)) * np.array(spacing) for mask in (first, second)]
    distances = cdist(*points)
    return distances.min(axis=1), distances.min(axis=0)


def interior(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    inside = padded.copy()
    for axis, shift in itertools.product(range(3), (-1, 1)):
        inside &= np.roll(padded, shift, axis)
    return inside[1:-1, 1:-1, 1:-1]


def tensors(name: str) -> list[torch.Tensor]:
    return [torch.from_numpy(mask)[None, None].float() for mask in PAIRS[name]]


@EACH
@SPACED
def test_hd95_equals_monai_and_brute_force(name, spacing):
    ours = both_ways(hd95_mm, name, spacing)
    theirs = monai.compute_hausdorff_distance(*tensors(name), include_background=True, percentile=95, spacing=spacing)
    forth, back = brute_force(*PAIRS[name], spacing)
    exact = max(np.percentile(forth, 95), np.percentile(back, 95))
    assert ours == pytest.approx(2 * [exact], rel=1e-12, abs=1e-12)
    assert ours == pytest.approx(2 * [theirs.item()], rel=1e-5, abs=1e-5)


@EACH
@SPACED
def test_mean_surface_distance_equals_monai_and_brute_force(name, spacing):
    ours = both_ways(msd_mm, name, spacing)
    theirs = monai.compute_average_surface_distance(
        *tensors(name), include_background=True, symmetric=True, spacing=spacing
    )
    exact = np.concatenate(brute_force(*PAIRS[name], spacing)).mean()
    assert ours == pytest.approx(2 * [exact], rel=1e-12, abs=1e-12)
    assert ours == pytest.approx(2 * [theirs.item()], rel=1e-5, abs=1e-5)


@EACH
@SPACED
@pytest.mark.parametrize(("metric", "tolerance"), [(surface_dice_1mm, 1.0), (surface_dice_2mm, 2.0)])
def test_surface_dice_equals_monai_and_brute_force(name, spacing, metric, tolerance):
    ours = both_ways(metric, name, spacing)
    theirs = monai.compute_surface_dice(
        *tensors(name), class_thresholds=[tolerance], include_background=True, spacing=spacing, use_subvoxels=False
    )
    distances = np.concatenate(brute_force(*PAIRS[name], spacing))
    assert ours == pytest.approx(2 * [(distances <= tolerance + 1e-9).mean()], rel=1e-12)
    assert ours == pytest.approx(2 * [theirs.item()], rel=1e-6)


@EACH
def test_dice_equals_monai(name):
    theirs = monai.compute_dice(*tensors(name), include_background=True, ignore_empty=False)
    assert dice(Pair(*PAIRS[name], ISO)) == pytest.approx(theirs.item(), rel=1e-6)


@pytest.mark.parametrize(("prediction", "reference"), [(EMPTY, EMPTY), (EMPTY, PAIRS["hollow"][0])])
def test_dice_of_empty_masks_equals_monai_when_told_to_count_them(prediction, reference):
    for pair in ((prediction, reference), (reference, prediction)):
        tensor = [torch.from_numpy(mask)[None, None].float() for mask in pair]
        theirs = monai.compute_dice(*tensor, include_background=True, ignore_empty=False)
        assert dice(Pair(*pair, ISO)) == theirs.item()


@EACH
@pytest.mark.parametrize(("ours", "theirs"), [("sensitivity", "sensitivity"), ("precision", "precision")])
def test_sensitivity_and_precision_equal_monai(name, ours, theirs):
    counts = monai.get_confusion_matrix(*tensors(name), include_background=True)
    expected = monai.compute_confusion_matrix_metric(theirs, counts).item()
    assert METRICS[ours](Pair(*PAIRS[name], ISO)) == pytest.approx(expected, rel=1e-6)


@EACH
def test_predicted_lesions_are_those_that_a_walk_over_26_neighbours_finds(name):
    for mask in PAIRS[name]:
        found = match(mask, EMPTY, 1.0)
        assert found.false_positives == walks(mask) == found.prediction.max()


def walks(mask: np.ndarray) -> int:
    left, count = set(map(tuple, np.argwhere(mask).tolist())), 0
    while left:
        count += 1
        front = [left.pop()]
        while front:
            here = front.pop()
            near = {tuple(np.add(here, step).tolist()) for step in itertools.product((-1, 0, 1), repeat=3)} & left
            left -= near
            front += near
    return count


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("prediction", [EMPTY, box((2, 3), (3, 4), (4, 5))], ids=["nothing", "one voxel"])
@pytest.mark.parametrize("reference", [EMPTY, box((2, 3), (3, 4), (4, 5))], ids=["nothing", "one voxel"])
def test_every_metric_is_a_finite_number_on_nothing_and_next_to_nothing(metric, prediction, reference):
    value = METRICS[metric](Pair(prediction, reference, (0.5, 0.9, 5.0)))
    assert isinstance(value, float)
    assert np.isfinite(value)

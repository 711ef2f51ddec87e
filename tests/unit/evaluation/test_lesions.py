"""Lesion-wise scores by the rules of BraTS 2023: hand-made lesions, and the rules done one lesion at a time."""

import numpy as np
import pytest
from scipy import ndimage

from limbeck.data.grid import Grid
from limbeck.evaluation.lesions import match
from limbeck.evaluation.metrics import hd95_mm, lesion_dice, lesion_hd95_mm
from limbeck.evaluation.pair import Pair

ISO = (1.0, 1.0, 1.0)
SHAPE = (44, 20, 20)
EMPTY = np.zeros(SHAPE, dtype=bool)


def cube(first: int, side: int = 4, at: tuple[int, int] = (8, 8)) -> np.ndarray:
    """A cube that starts there on the first axis: 64 voxels, so it counts at 1 mm."""
    mask = EMPTY.copy()
    mask[first : first + side, at[0] : at[0] + side, at[1] : at[1] + side] = True
    return mask


def scores(prediction, reference, spacing=ISO):
    pair = Pair(prediction, reference, spacing)
    return lesion_dice(pair), lesion_hd95_mm(pair)


def test_a_missed_lesion_scores_nothing():
    assert scores(cube(2), cube(2) | cube(30)) == (0.5, 374 / 2)


def test_a_false_positive_counts_like_a_lesion_whatever_its_size():
    stray = EMPTY.copy()
    stray[40, 2, 2] = True
    assert scores(cube(2) | stray, cube(2)) == (0.5, 374 / 2)
    assert scores(cube(2) | stray | cube(30), cube(2)) == pytest.approx((1 / 3, 374 * 2 / 3))


def test_each_lesion_has_its_own_dice_and_hd95():
    """One shifted by a voxel, one found whole."""
    dice, hd95 = scores(cube(3) | cube(30), cube(2) | cube(30))
    assert dice == pytest.approx((0.75 + 1) / 2)
    assert hd95 == pytest.approx(hd95_mm(Pair(cube(3), cube(2), ISO)) / 2)


@pytest.mark.parametrize(("gap", "lesions"), [(5, 1), (6, 1), (7, 2)])
def test_reference_lesions_are_joined_where_their_dilations_touch(gap, lesions):
    """Three steps from either side: they meet over a gap of 5, stand side by side at 6, and part at 7."""
    reference = cube(2) | cube(6 + gap)
    assert len(match(reference, reference, 1.0).lesions) == lesions
    dice, hd95 = scores(cube(2), reference)
    if lesions == 1:
        assert dice == pytest.approx(2 * 64 / (64 + 128))
        assert hd95 == hd95_mm(Pair(cube(2), reference, ISO))
    else:
        assert (dice, hd95) == (0.5, 374 / 2)


def test_dilation_goes_over_faces_and_edges_not_corners():
    """A voxel at three steps over corners is out of reach, at three over edges within it."""
    reference = cube(2)
    for offset, reached in (((2, 2, 2), True), ((3, 3, 0), True), ((3, 3, 1), False), ((3, 3, 3), False)):
        voxel = EMPTY.copy()
        voxel[5 + offset[0], 11 + offset[1], 11 + offset[2]] = True
        assert match(voxel, reference, 1.0).false_positives == (not reached)


def test_predicted_lesions_connect_over_corners():
    far = cube(30)
    chain = EMPTY.copy()
    for step in range(5):
        chain[30 + step, 2 + step, 2 + step] = True
    assert match(chain | cube(2), cube(2), 1.0).false_positives == 1
    assert match(chain | far, far, 1.0).false_positives == 0  # its end lies in the dilation, so all of it does


def test_predicted_lesions_are_not_joined_by_dilation():
    assert match(cube(30) | cube(36), cube(2), 1.0).false_positives == 2


def test_a_prediction_near_a_lesion_belongs_to_it_without_touching():
    dice, hd95 = scores(cube(8), cube(2))  # a gap of two voxels
    assert dice == 0
    assert hd95 == hd95_mm(Pair(cube(8), cube(2), ISO))
    assert scores(cube(10), cube(2)) == (0, 374)  # a gap of four: missed, and false besides


def test_all_that_reaches_a_lesion_is_scored_together_and_whole():
    """Two pieces in the dilation, of which one goes on far beyond."""
    tail = cube(2, side=2) | cube(7, side=2)
    tail[7:30, 9, 9] = True
    reference = cube(2)
    dice, _ = scores(tail, reference)
    assert dice == pytest.approx(2 * 8 / (64 + int(tail.sum())))


def test_one_predicted_lesion_may_answer_to_several():
    bridge = cube(2) | cube(30)
    bridge[6:30, 9, 9] = True
    dice, hd95 = scores(bridge, cube(2) | cube(30))
    assert dice == pytest.approx(2 * 64 / (64 + 128 + 24))
    assert hd95 == pytest.approx(hd95_mm(Pair(bridge, cube(2), ISO)))


@pytest.mark.parametrize(
    ("voxels", "edges", "counts"), [(50, ISO, 0), (51, ISO, 1), (7, (2.0,) * 3, 1), (6, (2.0,) * 3, 0)]
)
def test_reference_lesions_count_beyond_50_mm3(voxels, edges, counts):
    reference = EMPTY.copy()
    which = np.arange(voxels)
    reference[2 + which // 10, 2 + which % 10, 2] = True
    assert len(match(EMPTY, reference, float(np.prod(edges))).lesions) == counts
    assert scores(EMPTY, reference, edges) == ((0, 374) if counts else (1, 0))


def test_a_prediction_on_a_small_lesion_is_neither_right_nor_wrong():
    small = cube(30, side=3)
    assert scores(cube(2) | small, cube(2) | small) == (1, 0)
    assert scores(cube(2), cube(2) | small) == (1, 0)
    assert scores(small, small) == (1, 0)


def test_spacing_counts_in_distances_and_volumes_and_dilation_in_voxels():
    edges = (2.0, 0.5, 0.5)
    dice, hd95 = scores(cube(3, side=6), cube(2, side=6), edges)
    assert dice == pytest.approx(5 / 6)
    assert hd95 == 2.0
    assert match(cube(8), cube(2), 0.5).false_positives == 0  # 6 mm away, and reached in three steps


# --- the rules one lesion at a time, in the whole image ---------------------------------------------------------------


def by_the_rules(prediction, reference, spacing):
    """As product.md words them, each lesion dilated by itself, and nothing cropped or shared."""
    connected, stencil = np.ones((3, 3, 3)), ndimage.generate_binary_structure(3, 2)
    predicted, count = ndimage.label(prediction, connected)
    zones, zone_count = ndimage.label(ndimage.binary_dilation(reference, stencil, iterations=3), connected)
    dice, hd95, reached = [], [], set()
    for zone in range(1, zone_count + 1):
        lesion = reference & (zones == zone)
        near = ndimage.binary_dilation(lesion, stencil, iterations=3)
        found = set(predicted[near].tolist()) - {0}
        reached |= found
        if lesion.sum() * np.prod(spacing) <= 50:
            continue
        mine = np.isin(predicted, list(found))
        dice.append(2 * (mine & lesion).sum() / (mine.sum() + lesion.sum()))
        hd95.append(hd95_mm(Pair(mine, lesion, spacing)))
    wrong = count - len(reached)
    total = len(dice) + wrong
    return (sum(dice) / total, (sum(hd95) + 374 * wrong) / total) if total else (1.0, 0.0)


def blobs(rng: np.random.Generator, threshold: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.standard_normal((30, 24, 18)), rng.uniform(0.7, 2.0))
    return noise > threshold * noise.std()


@pytest.mark.parametrize("seed", range(12))
def test_sharing_and_cropping_change_nothing(seed, monkeypatch):
    """Random lesions, many at the border; distances mapped and searched."""
    rng = np.random.default_rng(seed)
    reference, prediction = blobs(rng, 2.0), blobs(rng, 1.8)
    prediction |= reference & (rng.random(reference.shape) < 0.5)
    spacing = [ISO, (0.8, 1.5, 3.0)][seed % 2]
    expected = by_the_rules(prediction, reference, spacing)
    assert scores(prediction, reference, spacing) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr("limbeck.evaluation.surfaces._SMALL_BOX_VOXELS", 0)
    assert scores(prediction, reference, spacing) == pytest.approx(expected, rel=1e-12)


def test_how_single_precision_rounds_a_turned_grid_decides_no_lesion():
    """A lesion of just 50 mm³ counts for nothing on a scan of 1 mm, whichever way it lies."""
    reference = EMPTY.copy()
    reference[2:7, 2:4, 2:7] = True
    counted = set()
    for angle in np.linspace(0, np.pi / 2, 40):
        affine = np.eye(4)
        affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        counted.add(len(match(EMPTY, reference, Grid.of(SHAPE, affine).voxel_mm3).lesions))
    assert counted == {0}

"""Metrics by hand-made numbers: regions, empty sides, spacing, refusals."""

import numpy as np
import pytest

from limbeck.anatomy import Label, Region
from limbeck.errors import DataError, UsageError
from limbeck.evaluation import metrics
from limbeck.evaluation.metrics import METRICS, STANDARD, score
from limbeck.evaluation.pair import Pair
from limbeck.evaluation.table import DEFINITIONS, EMPTY_POLICY, definition

ISO = (1.0, 1.0, 1.0)
RATIOS = ("dice", "surface_dice_1mm", "surface_dice_2mm", "sensitivity", "precision", "lesion_dice")
LENGTHS = ("hd95_mm", "msd_mm", "lesion_hd95_mm")


def labels(**corners: tuple[int, int]) -> np.ndarray:
    """A row of tissue along the first axis: name=(first, last + 1), 16 voxels for each step."""
    volume = np.zeros((20, 6, 6), dtype=np.uint8)
    for name, (first, end) in corners.items():
        volume[first:end, 1:5, 1:5] = Label[name.upper()]
    return volume


def values(prediction, reference, metric, spacing=ISO):
    return {item.region: item.value for item in score(prediction, reference, spacing, (metric,))}


def notes(prediction, reference):
    return {item.region: item.note for item in score(prediction, reference, ISO, ("dice",))}


def test_each_region_counts_its_own_labels():
    reference = labels(oedema=(2, 10), necrotic_core=(4, 6), enhancing=(6, 8))
    prediction = labels(oedema=(2, 10), necrotic_core=(4, 8))
    found = values(prediction, reference, "dice")
    assert found == {Region.WT: 1.0, Region.TC: 1.0, Region.ET: 0.0}


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("dice", 2 * 3 / (4 + 6)),
        ("sensitivity", 3 / 6),
        ("precision", 3 / 4),
        ("volume_error_ml", (4 - 6) * 16 * 3.0 / 1000),
    ],
)
def test_overlap_and_volume_by_hand(metric, expected):
    found = values(labels(enhancing=(0, 4)), labels(enhancing=(1, 7)), metric, (0.5, 2.0, 3.0))
    assert found[Region.ET] == pytest.approx(expected)


def test_too_much_volume_is_positive():
    assert values(labels(enhancing=(0, 7)), labels(enhancing=(1, 3)), "volume_error_ml")[Region.ET] == 5 * 16 / 1000
    assert values(labels(enhancing=(0, 7)), labels(), "volume_error_ml")[Region.ET] == 7 * 16 / 1000


def test_the_resection_cavity_counts_in_no_region():
    reference = labels(resection_cavity=(2, 10))
    assert set(notes(reference, labels()).values()) == {"both empty"}
    assert values(labels(enhancing=(2, 10)), reference, "dice")[Region.ET] == 0.0


@pytest.mark.parametrize(
    ("prediction", "reference", "note", "ratio", "length"),
    [
        (labels(), labels(), "both empty", 1.0, 0.0),
        (labels(), labels(enhancing=(2, 7)), "prediction empty", 0.0, 374.0),
        (labels(enhancing=(2, 7)), labels(), "reference empty", 0.0, 374.0),
        (labels(enhancing=(2, 7)), labels(enhancing=(2, 7)), "", 1.0, 0.0),
    ],
)
def test_one_policy_for_empty_sides_in_all_metrics(prediction, reference, note, ratio, length):
    assert notes(prediction, reference)[Region.ET] == note
    found = {item.metric: item.value for item in score(prediction, reference, ISO) if item.region is Region.ET}
    assert {name: found.pop(name) for name in RATIOS} == dict.fromkeys(RATIOS, ratio)
    assert {name: found.pop(name) for name in LENGTHS} == dict.fromkeys(LENGTHS, length)
    assert set(found) == {"volume_error_ml"}  # defined without a rule


def test_only_the_empty_region_is_noted():
    found = notes(labels(oedema=(2, 9)), labels(oedema=(2, 9), enhancing=(4, 6)))
    assert found == {Region.WT: "", Region.TC: "prediction empty", Region.ET: "prediction empty"}


@pytest.mark.parametrize("edge", [0.7, 1.0, 4.0])
def test_distances_are_in_mm_along_the_right_axis(edge):
    first, second = np.zeros((2, 9, 9, 9), dtype=bool)
    first[4, 4, 2], second[4, 4, 7] = True, True
    pair = Pair(first, second, (100.0, 10.0, edge))
    assert metrics.hd95_mm(pair) == metrics.msd_mm(pair) == pytest.approx(5 * edge)
    assert metrics.surface_dice_1mm(pair) == 0


def one_against_a_line() -> tuple[np.ndarray, np.ndarray]:
    """Distances 0 one way, and 0 to 40 the other."""
    first, second = np.zeros((2, 41, 3, 3), dtype=bool)
    first[0, 1, 1] = True
    second[:, 1, 1] = True
    return first, second


def test_hd95_takes_the_worse_direction_and_drops_the_worst_twentieth():
    first, second = one_against_a_line()
    assert metrics.hd95_mm(Pair(first, second, ISO)) == pytest.approx(np.percentile(np.arange(41), 95))
    assert metrics.hd95_mm(Pair(second, first, ISO)) == metrics.hd95_mm(Pair(first, second, ISO))


def test_surface_means_and_shares_take_all_voxels_of_both_sides_alike():
    for pair in (one_against_a_line(), one_against_a_line()[::-1]):
        assert metrics.msd_mm(Pair(*pair, ISO)) == pytest.approx(np.arange(41).sum() / 42)
        assert metrics.surface_dice_1mm(Pair(*pair, ISO)) == pytest.approx((1 + 2) / 42)
        assert metrics.surface_dice_2mm(Pair(*pair, ISO)) == pytest.approx((1 + 3) / 42)


def test_rounding_of_the_affine_does_not_move_a_surface_beyond_its_tolerance():
    pair = Pair(*one_against_a_line(), (float(np.float32(1) + np.float32(1e-6)), 1.0, 1.0))
    assert metrics.surface_dice_1mm(pair) == pytest.approx(3 / 42)
    assert metrics.surface_dice_2mm(pair) == pytest.approx(4 / 42)


def test_surfaces_start_from_either_side():
    first, second = np.zeros((2, 5, 5, 5), dtype=bool)
    first[1:4, 1:4, 1:4] = True
    second[2, 2, 2] = True
    pair = Pair(first, second, ISO)
    assert len(pair.forth.distance_mm) == 26  # the cube's centre is no surface
    assert pair.forth.distance_mm.max() == pytest.approx(3**0.5)
    assert pair.back.distance_mm.tolist() == [1.0]


def test_cropping_changes_nothing():
    rng = np.random.default_rng(3)
    small = rng.integers(0, 4, (2, 7, 6, 5), dtype=np.uint8)
    large = np.zeros((2, 30, 20, 15), dtype=np.uint8)
    large[:, 11:18, 9:15, 3:8] = small
    assert score(*large, (1, 2, 3)) == score(*small, (1, 2, 3))


def test_legacy_slices_are_those_of_the_whole_image_along_the_first_axis():
    """20 slices: 6 in the reference, 3 of them found whole, one more for nothing, 13 empty in both."""
    prediction, reference = labels(enhancing=(0, 4)), labels(enhancing=(1, 7))
    assert values(prediction, reference, "legacy_slice_mean")[Region.ET] == pytest.approx((3 + 13) / 20)
    assert values(labels(), reference, "legacy_slice_mean")[Region.ET] == pytest.approx(14 / 20)
    assert values(labels(), labels(), "legacy_slice_mean")[Region.ET] == 1
    half = prediction * (np.arange(6) < 3)[:, None]
    assert values(half, prediction, "legacy_slice_mean")[Region.ET] == pytest.approx((4 * 2 / 3 + 16) / 20)


def test_order_and_choice_of_metrics():
    found = score(labels(), labels(), ISO, ("hd95_mm", "dice"))
    assert [(item.region, item.metric) for item in found] == [
        (region, metric) for region in Region for metric in ("hd95_mm", "dice")
    ]


def test_the_standard_is_everything_but_what_flatters():
    assert set(METRICS) - set(STANDARD) == {"legacy_slice_mean"}
    assert [item.metric for item in score(labels(), labels(), ISO)] == list(STANDARD) * len(Region)
    assert STANDARD[:2] == ("dice", "hd95_mm")


def test_every_metric_has_a_sentence_for_captions():
    assert list(DEFINITIONS) == list(METRICS)
    assert all(definition(name).endswith(".") for name in METRICS)
    assert "374" in EMPTY_POLICY
    with pytest.raises(UsageError, match="did you mean 'msd_mm'"):
        definition("msd")


def test_ratios_of_random_masks_lie_in_their_range():
    rng = np.random.default_rng(0)
    for density in (0.01, 0.5, 0.99):
        first, second = rng.random((2, 8, 8, 8)) < density
        for name in RATIOS:
            assert 0 <= METRICS[name](Pair(first, second, ISO)) <= 1
        assert metrics.dice(Pair(first, second, ISO)) == metrics.dice(Pair(second, first, ISO)) < 1
        assert metrics.sensitivity(Pair(first, second, ISO)) == metrics.precision(Pair(second, first, ISO))


@pytest.mark.parametrize(
    ("prediction", "spacing", "message"),
    [
        (labels()[1:], ISO, r"shape is \(19, 6, 6\)"),
        (labels(), (1.0, 1.0), "spacing"),
        (labels(), (1.0, 0.0, 1.0), "spacing"),
        (labels(), (1.0, float("nan"), 1.0), "spacing"),
        (labels() + 5, ISO, "codes from 5 to 5"),
        (labels().astype(np.int16) - 1, ISO, "codes from -1 to -1"),
        (labels().astype(np.float32), ISO, "float32"),
    ],
)
def test_what_cannot_be_scored_is_refused(prediction, spacing, message):
    with pytest.raises(DataError, match=message):
        score(prediction, labels(), spacing)


def test_masks_of_different_shape_make_no_pair():
    with pytest.raises(DataError, match=r"shape is \(2, 2, 2\)"):
        Pair(np.zeros((2, 2, 2), dtype=bool), np.zeros((2, 2, 1), dtype=bool), ISO)


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'dice'"):
        score(labels(), labels(), ISO, ("dise",))

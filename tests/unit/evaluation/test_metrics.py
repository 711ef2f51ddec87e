"""Metrics by hand-made numbers: regions, empty sides, spacing, refusals."""

import numpy as np
import pytest

from limbeck.anatomy import Label, Region
from limbeck.errors import DataError, UsageError
from limbeck.evaluation.metrics import METRICS, dice, hd95_mm, score, surface_distances

ISO = (1.0, 1.0, 1.0)


def labels(**corners: tuple[int, int]) -> np.ndarray:
    """A row of tissue along the first axis: name=(first, last + 1)."""
    volume = np.zeros((20, 6, 6), dtype=np.uint8)
    for name, (first, end) in corners.items():
        volume[first:end, 2:4, 2:4] = Label[name.upper()]
    return volume


def values(prediction, reference, metric, spacing=ISO):
    return {item.region: item.value for item in score(prediction, reference, spacing) if item.metric == metric}


def notes(prediction, reference):
    return {item.region: item.note for item in score(prediction, reference, ISO, ("dice",))}


def test_each_region_counts_its_own_labels():
    reference = labels(oedema=(2, 10), necrotic_core=(4, 6), enhancing=(6, 8))
    prediction = labels(oedema=(2, 10), necrotic_core=(4, 8))
    found = values(prediction, reference, "dice")
    assert found == {Region.WT: 1.0, Region.TC: 1.0, Region.ET: 0.0}


def test_dice_is_twice_the_overlap_over_both_sizes():
    found = values(labels(enhancing=(0, 4)), labels(enhancing=(1, 7)), "dice")
    assert found[Region.ET] == pytest.approx(2 * 3 / (4 + 6))


def test_the_resection_cavity_counts_in_no_region():
    reference = labels(resection_cavity=(2, 10))
    assert set(notes(reference, labels()).values()) == {"both empty"}
    assert values(labels(enhancing=(2, 10)), reference, "dice")[Region.ET] == 0.0


@pytest.mark.parametrize(
    ("prediction", "reference", "note", "overlap", "distance"),
    [
        (labels(), labels(), "both empty", 1.0, 0.0),
        (labels(), labels(enhancing=(2, 5)), "prediction empty", 0.0, 374.0),
        (labels(enhancing=(2, 5)), labels(), "reference empty", 0.0, 374.0),
        (labels(enhancing=(2, 5)), labels(enhancing=(2, 5)), "", 1.0, 0.0),
    ],
)
def test_empty_sides(prediction, reference, note, overlap, distance):
    assert notes(prediction, reference)[Region.ET] == note
    assert values(prediction, reference, "dice")[Region.ET] == overlap
    assert values(prediction, reference, "hd95_mm")[Region.ET] == distance


def test_only_the_empty_region_is_noted():
    found = notes(labels(oedema=(2, 9)), labels(oedema=(2, 9), enhancing=(4, 6)))
    assert found == {Region.WT: "", Region.TC: "prediction empty", Region.ET: "prediction empty"}


@pytest.mark.parametrize("edge", [0.7, 1.0, 4.0])
def test_hd95_is_in_mm_along_the_right_axis(edge):
    first, second = np.zeros((2, 9, 9, 9), dtype=bool)
    first[4, 4, 2], second[4, 4, 7] = True, True
    assert hd95_mm(first, second, (100.0, 10.0, edge)) == pytest.approx(5 * edge)


def test_hd95_takes_the_worse_direction_and_drops_the_worst_twentieth():
    first, second = np.zeros((2, 41, 3, 3), dtype=bool)
    first[0, 1, 1] = True
    second[:, 1, 1] = True
    assert hd95_mm(first, second, ISO) == pytest.approx(np.percentile(np.arange(41), 95))
    assert hd95_mm(second, first, ISO) == hd95_mm(first, second, ISO)


def test_surface_distances_start_from_either_side():
    first, second = np.zeros((2, 5, 5, 5), dtype=bool)
    first[1:4, 1:4, 1:4] = True
    second[2, 2, 2] = True
    forth, back = surface_distances(first, second, ISO)
    assert len(forth) == 26  # the cube's centre is no surface
    assert forth.max() == pytest.approx(3**0.5)
    assert back.tolist() == [1.0]


def test_cropping_changes_nothing():
    rng = np.random.default_rng(3)
    small = rng.integers(0, 4, (2, 7, 6, 5), dtype=np.uint8)
    large = np.zeros((2, 30, 20, 15), dtype=np.uint8)
    large[:, 11:18, 9:15, 3:8] = small
    assert score(*large, (1, 2, 3)) == score(*small, (1, 2, 3))


def test_order_and_choice_of_metrics():
    found = score(labels(), labels(), ISO, ("hd95_mm", "dice"))
    assert [(item.region, item.metric) for item in found] == [
        (region, metric) for region in Region for metric in ("hd95_mm", "dice")
    ]
    assert set(METRICS) == {"dice", "hd95_mm"}


def test_dice_of_random_masks_lies_in_its_range():
    rng = np.random.default_rng(0)
    for density in (0.01, 0.5, 0.99):
        first, second = rng.random((2, 8, 8, 8)) < density
        assert 0 <= dice(first, second) == dice(second, first) < 1


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


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'dice'"):
        score(labels(), labels(), ISO, ("dise",))

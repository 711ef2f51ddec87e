"""What the comparison of phantoms with patients says, on numbers that are known."""

from __future__ import annotations

import re

import numpy as np
import phantom_statistics
import published_figures
import pytest

from limbeck.anatomy import Label
from limbeck.phantom.head import place, traits
from limbeck.phantom.shapes import Points


def test_a_ball_is_compact_and_two_are_less() -> None:
    at = np.indices((40, 40, 80)) - 20
    ball = (at**2).sum(0) < 15**2
    two = ball | np.roll(ball, 40, axis=2)
    assert phantom_statistics.compactness(ball) == pytest.approx(1, abs=0.05)
    assert phantom_statistics.compactness(two) == pytest.approx(2 ** (-1 / 3), abs=0.05)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (250.0, 40.0), (0.5, 3.0)])
def test_a_contrast_depends_on_neither_scale_nor_offset(scale: float, offset: float) -> None:
    image = np.linspace(1, 2, 1001, dtype=np.float32)
    labels = np.zeros(1001, np.uint8)
    healthy = np.ones(1001, bool)
    image[:50], labels[:50], healthy[:50] = 2.7, Label.ENHANCING, False
    found = phantom_statistics._intensities("t1ce", scale * image + offset, labels, healthy)
    low, high = np.quantile(image[healthy], (0.1, 0.9))
    assert found["t1ce: enhancing, contrast"] == pytest.approx((2.7 - low) / (high - low), rel=1e-3)


def test_figures_are_told_as_published_ones_are() -> None:
    assert published_figures.around(np.array([600.0, 700.0])) == "650 ± 50"
    assert published_figures.around(np.array([2.5, 3.5])) == "3.00 ± 0.50"
    assert published_figures.middle(np.arange(101.0)) == "50.0 (25.0 to 75.0)"
    assert published_figures.share(np.array([1.0, 0.0, 0.0, 0.0])) == "25.0 %"


def test_relaxation_times_are_those_that_patients_are_drawn_with() -> None:
    drawn = published_figures.examinations(40)
    assert len(drawn["t1 WHITE 3"]) == 40
    assert drawn["t1 WHITE 3"].mean() == pytest.approx(850, rel=0.05)
    assert drawn["t2 GREY 1.5"].mean() == pytest.approx(90, rel=0.05)


def test_the_midline_shifts_as_far_as_it_was_pushed() -> None:
    rng = np.random.default_rng(3)
    at = place(rng, traits(rng), published_figures.head.DRAFT)
    pushed: Points = (at[0] + np.float32(4), at[1], at[2])
    assert published_figures._midline_shift(at, at) == 0
    assert published_figures._midline_shift(at, pushed) == pytest.approx(4, abs=1e-4)


def test_every_published_figure_has_its_phantoms_and_its_source() -> None:
    drawn = {**published_figures.examinations(2), **published_figures.anatomies(1)}
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:8, 2:8, 2:8], labels[3:7, 3:7, 3:7] = Label.OEDEMA, Label.ENHANCING
    drawn |= phantom_statistics.tumours([Case(labels), Case(np.zeros_like(labels))], 2.0)
    lines = list(published_figures.published(drawn))
    assert sum(line.startswith("| ") for line in lines) == len(published_figures.PUBLISHED) + 1
    assert any("| gliomas without enhancement | 18.5 % |" in line and "| 50.0 % | 2 |" in line for line in lines)
    for _, figure, source, _, _ in published_figures.PUBLISHED:
        named = [part.split(",")[0].strip() for part in source.split(";") if part.strip()]
        assert not figure or not named or all(_stands(name) for name in named), source


class Case:
    """A case of a cohort, as far as its labels go."""

    def __init__(self, labels: np.ndarray) -> None:
        self._labels = labels

    def labels(self) -> np.ndarray:
        return self._labels


def _stands(name: str) -> bool:
    """Whether a source such as `Wright 2008`, or a journal and its year, is in the list by its words."""
    year = re.search(r" (19|20)\d\d", name)
    return any(name[: year.start() if year else None] in source for source in published_figures.SOURCES)

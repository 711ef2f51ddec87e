"""Mishaps change what they say and leave the rest of an examination alone."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.phantom import mishaps
from limbeck.phantom.mishaps import Mishap
from limbeck.phantom.patient import grid, make

SPACING = 4.0
TARGET = grid(SPACING)[2]


@pytest.fixture
def image() -> np.ndarray:
    blob = np.zeros(TARGET.shape, np.float32)
    blob[15:20, 15:20, 15:20] = 1
    return blob


def test_seven_sequences_in_ten_are_spared() -> None:
    rng = np.random.default_rng(0)
    drawn = [mishaps.draw(rng) for _ in range(3000)]
    shares = [
        np.mean([mishap.coarse_mm > 0 for mishap in drawn]),
        np.mean([bool(mishap.ghost_share) for mishap in drawn]),
        np.mean([np.isfinite(mishap.floor_mm) or np.isfinite(mishap.ceiling_mm) for mishap in drawn]),
    ]
    assert shares == pytest.approx([0.15, 0.12, 0.05], abs=0.02)
    assert np.mean([_untouched(mishap) for mishap in drawn]) == pytest.approx(0.71, abs=0.02)
    assert all(sum(mishap.ghost_share) < 0.31 for mishap in drawn)


def test_without_a_mishap_the_image_itself_comes_back(image: np.ndarray) -> None:
    assert mishaps.disturbed(image, Mishap(), TARGET) is image
    assert mishaps.covered(Mishap(), TARGET).all()


@pytest.mark.parametrize("away", [12.0, -12.0])
def test_a_replica_lies_as_far_away_as_it_says_and_takes_its_share(image: np.ndarray, away: float) -> None:
    mishap = Mishap(ghost_share=(0.25,), ghost_mm=(away,), ghost_axis=1)
    seen = mishaps.disturbed(image, mishap, TARGET)
    replica = np.roll(image, int(away / SPACING), axis=1)
    assert np.allclose(seen, 0.75 * image + 0.25 * replica, atol=1e-5)


def test_nothing_wraps_around(image: np.ndarray) -> None:
    mishap = Mishap(ghost_share=(0.25,), ghost_mm=(400.0,), ghost_axis=0)
    assert np.allclose(mishaps.disturbed(image, mishap, TARGET), 0.75 * image)


def test_coarseness_blurs_in_all_directions_and_keeps_the_sum(image: np.ndarray) -> None:
    seen = mishaps.disturbed(image, Mishap(coarse_mm=3.0), TARGET)
    assert seen.sum() == pytest.approx(image.sum(), rel=1e-3)
    assert seen[14, 17, 17] > 0 and seen[17, 14, 17] > 0 and seen[17, 17, 14] > 0


def test_a_short_slab_ends_where_it_says() -> None:
    seen = mishaps.covered(Mishap(floor_mm=-50.0, ceiling_mm=40.0), TARGET)
    heights = TARGET.along(2)
    assert np.array_equal(np.broadcast_to(seen, TARGET.shape)[0, 0], (heights > -50) & (heights < 40))


def test_a_sequence_that_is_spared_is_what_it_would_be_without_mishaps(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = next(seed for seed in range(50) if _spared(seed) == 2)
    with_mishaps = make(seed, 0, SPACING)
    monkeypatch.setattr(mishaps, "draw", lambda rng: Mishap())
    without = make(seed, 0, SPACING)
    same = [np.array_equal(with_mishaps.images[modality], without.images[modality]) for modality in Modality]
    assert sum(same) == 2
    assert np.array_equal(with_mishaps.labels, without.labels)


def _spared(seed: int) -> int:
    rng = np.random.default_rng([seed, 0]).spawn(5)[4]
    return sum(_untouched(mishaps.draw(rng)) for _ in Modality)


def _untouched(mishap: Mishap) -> bool:
    short = np.isfinite(mishap.floor_mm) or np.isfinite(mishap.ceiling_mm)
    return not (mishap.coarse_mm or mishap.ghost_share or short)

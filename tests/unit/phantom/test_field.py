"""Fields mean the same on every grid."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.phantom.field import (
    Lattice,
    banded,
    blur,
    move,
    noise,
    separable,
    sheet_distance,
    slices,
    soft,
)
from limbeck.phantom.growth import PLATE, ball, spread

COARSE = Lattice((-60.0, -60.0, -60.0), 4.0, (31, 31, 31))
FINE = Lattice((-60.0, -60.0, -60.0), 2.0, (61, 61, 61))


@pytest.mark.parametrize("kernel", ["linear", "cubic"])
def test_moving_keeps_a_plane(kernel: str) -> None:
    x, y, z = COARSE.coordinates()
    plane = np.asarray(0.5 * x - 0.2 * y + 0.1 * z + 3, dtype=np.float32)
    u, v, w = FINE.coordinates()
    moved = move(plane, COARSE, FINE, kernel)
    inner = (slice(4, -4),) * 3
    assert np.allclose(moved[inner], (0.5 * u - 0.2 * v + 0.1 * w + 3)[inner], atol=1e-3)


def test_noise_is_the_same_on_every_grid_and_has_unit_variance() -> None:
    fine = noise(np.random.default_rng(1), 8.0, FINE)
    coarse = noise(np.random.default_rng(1), 8.0, COARSE)
    assert np.allclose(fine[::2, ::2, ::2], coarse, atol=1e-5)
    assert 0.8 < fine.std() < 1.2


def test_noise_refuses_a_grid_beyond_the_head() -> None:
    with pytest.raises(ValueError, match="beyond"):
        noise(np.random.default_rng(1), 8.0, Lattice((-300.0, 0.0, 0.0), 2.0, (4, 4, 4)))


def test_banded_noise_has_its_wavelength() -> None:
    field = banded(np.random.default_rng(3), 20.0, FINE)
    crossings = np.abs(np.diff(np.signbit(field).astype(int), axis=0)).sum() / (60 * 61 * 61)
    # A plane wave crosses zero every half wavelength; a random direction stretches that by the square root of three.
    assert 2.0 / crossings == pytest.approx(10 * 3**0.5, rel=0.2)


def test_sheet_distance_is_a_distance() -> None:
    x = np.broadcast_to(FINE.coordinates()[0], FINE.shape)
    field = np.asarray(3 * (x - 5), dtype=np.float32)
    assert np.allclose(sheet_distance(field, 2.0, 8.0), np.clip(x - 5, -8, 8), atol=1e-3)


def test_soft_goes_from_inside_to_outside() -> None:
    assert soft(np.float32([-5, 0, 5]), 2.0).tolist() == [1.0, 0.5, 0.0]


def test_blur_and_slices_keep_a_constant_and_blur_an_edge() -> None:
    flat = np.full((12, 13, 14), 2.5, np.float32)
    edge = flat * (np.arange(14) > 6)
    matrices = (blur(12, 1.0), None, slices(14, 3.0, 0.3))
    assert np.allclose(separable(flat, matrices), 2.5, atol=1e-5)
    assert len(np.unique(np.round(separable(edge, matrices)[6, 6], 3))) > 2
    assert blur(12, 0.0) is None
    assert slices(14, 1.0, 0.0) is None


def test_growth_stops_at_its_volume_and_spares_what_does_not_conduct() -> None:
    open_tissue = np.ones(PLATE.shape, np.float32)
    open_tissue[: PLATE.shape[0] // 2 - 3] = 0.0
    front = spread(ball((0.0, 0.0, 0.0), 5.0), (open_tissue, open_tissue, open_tissue), 30.0)
    assert front.volume_ml == pytest.approx(30.0, rel=0.15)
    assert (front.distance[: PLATE.shape[0] // 2 - 3] >= 0).all()


def test_growth_is_faster_where_tissue_conducts_better() -> None:
    tissue = np.ones(PLATE.shape, np.float32)
    tissue[:, : PLATE.shape[1] // 2] = 0.2
    front = spread(ball((0.0, 1.0, 0.0), 5.0), (tissue, tissue, tissue), 40.0)
    passed = front.distance < 0
    assert passed[:, PLATE.shape[1] // 2 + 1 :].sum() > 1.5 * passed[:, : PLATE.shape[1] // 2].sum()

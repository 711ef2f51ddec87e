"""Sequences on different grids: refused unless asked for, then brought together by what their headers say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.data.alignment import onto, reference
from limbeck.data.grid import Grid
from limbeck.data.preprocess import GridsDifferError, read_scans
from limbeck.errors import DataError

SHAPE = (24, 20, 16)


def grid(spacing: tuple[float, float, float] = (2, 2, 2), shape=SHAPE, shift=(0.0, 0.0, 0.0), degrees=0.0) -> Grid:
    """A block around the scanner's centre, turned about the patient's long axis."""
    angle = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, :3] = matrix[:3, :3] @ np.diag(spacing)
    matrix[:3, 3] = -matrix[:3, :3] @ (np.array(shape) - 1) / 2 + shift
    return Grid.of(shape, matrix)


def brain(on: Grid, slope: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> np.ndarray:
    """A ball of 14 mm in which intensity rises along a slope in the scanner's space."""
    indices = np.indices(on.shape).reshape(3, -1)
    world = on.affine[:3, :3] @ indices + on.affine[:3, 3:]
    values = np.where(np.linalg.norm(world, axis=0) < 14, 200 + np.array(slope) @ world, 0)
    return values.reshape(on.shape).astype(np.float32)


OTHERS = [
    grid((2, 2, 4), (24, 20, 8)),
    grid(shift=(0.7, -1.1, 0.4)),
    grid((1.5, 2.5, 2), (32, 16, 16), degrees=20),
]


@pytest.mark.parametrize("other", OTHERS, ids=["thicker", "shifted", "turned"])
def test_an_image_comes_to_lie_where_its_header_puts_it(other: Grid) -> None:
    moved, wanted = onto(brain(other), other, grid()), brain(grid())
    # Well inside, a slope survives interpolation; at the edge the two may differ by a voxel.
    both = (moved != 0) & (wanted != 0)
    assert both.sum() > 0.9 * (wanted != 0).sum()
    middle = np.linalg.norm(np.indices(SHAPE) - (np.array(SHAPE) - 1)[:, None, None, None] / 2, axis=0) < 4
    np.testing.assert_allclose(moved[middle], wanted[middle], atol=0.05)


def test_the_brains_edge_is_no_mixture_with_the_background() -> None:
    level = brain(OTHERS[1], (0, 0, 0))
    moved = onto(level, OTHERS[1], grid())
    np.testing.assert_allclose(moved[moved != 0], 200, atol=1e-3)


def test_what_an_image_does_not_reach_is_background() -> None:
    near = grid(shape=(24, 20, 6))
    moved = onto(np.full(near.shape, 100, np.float32), near, grid())
    assert (moved[..., 5:11] > 0).all() and not moved[..., :4].any() and not moved[..., 12:].any()


def test_no_voxel_is_skipped_on_the_way_to_larger_ones() -> None:
    fine, coarse = grid((1, 1, 1), (48, 40, 32)), grid((4, 4, 4), (12, 10, 8))
    rng = np.random.default_rng(0)
    noise = (100 + rng.normal(0, 10, fine.shape)).astype(np.float32)
    moved = onto(noise, fine, coarse)[2:-2, 2:-2, 2:-2]
    # Means of 64 voxels of noise; a trilinear look at 8 of them would leave 3.5.
    assert moved.std() < 2.2 and moved.mean() == pytest.approx(100, abs=1)


def scans(**grids: Grid) -> dict[Modality, Any]:
    rng = np.random.default_rng(1)
    return {
        Modality.parse(role): (brain(on) * rng.normal(1, 0.1, on.shape).astype(np.float32), on)
        for role, on in grids.items()
    }


def test_other_grids_are_refused_unless_asked_for() -> None:
    two = scans(t1ce=grid(), flair=OTHERS[0])
    with pytest.raises(GridsDifferError, match="t1ce: shape 24 x 20 x 16 instead of 24 x 20 x 8"):
        read_scans({modality: two[modality] for modality in reversed(two)})
    read = read_scans(two, align=True)
    assert {array.shape for array in read.arrays.values()} == {SHAPE}
    assert np.array_equal(read.arrays[Modality.T1CE], two[Modality.T1CE][0])
    (note,) = read.notes
    assert note.startswith("flair (24 x 20 x 8) was resampled onto the grid of t1ce (24 x 20 x 16)")


def test_what_shares_a_grid_is_left_alone_though_asked_for() -> None:
    two = scans(t1ce=grid(), flair=grid())
    read = read_scans(two, align=True)
    assert read.notes == ()
    for modality, (array, _) in two.items():
        assert np.array_equal(read.arrays[modality], array)


@pytest.mark.parametrize(
    ("grids", "wanted"),
    [
        # Thin slices first, whatever the sequence.
        ({"t1ce": grid((1, 1, 5)), "flair": grid((1.2, 1.2, 1.2))}, "flair"),
        # Then the grid that most share.
        ({"t1ce": grid(shift=(1, 0, 0)), "t2": grid(), "flair": grid()}, "t2"),
        # Then t1ce, t1, t2, flair.
        ({"flair": grid(), "t1": grid(shift=(1, 0, 0))}, "t1"),
        ({"flair": grid(), "t1": grid(shift=(1, 0, 0)), "t1ce": grid(shift=(0, 1, 0))}, "t1ce"),
    ],
)
def test_the_grid_to_lie_on_follows_a_rule(grids: dict[str, Grid], wanted: str) -> None:
    for names in (list(grids), list(grids)[::-1]):
        assert reference({Modality.parse(role): grids[role] for role in names}).role == wanted


def test_a_header_without_a_place_is_refused() -> None:
    two = scans(t1ce=grid(), flair=OTHERS[0])
    array, on = two[Modality.FLAIR]
    header = {**on.header, "qform_code": (0.0,), "sform_code": (0.0,)}
    two[Modality.FLAIR] = (array, Grid(on.shape, on.affine, header))
    with pytest.raises(DataError, match="flair: its header does not say where"):
        read_scans(two, align=True)


def test_scans_without_a_place_in_common_are_refused() -> None:
    two = scans(t1ce=grid(), flair=OTHERS[0])
    array, on = two[Modality.FLAIR]
    affine = on.affine.copy()
    affine[:3, 3] += 500
    two[Modality.FLAIR] = (array, Grid.of(on.shape, affine))
    with pytest.raises(DataError, match="flair: its header puts it nowhere near t1ce"):
        read_scans(two, align=True)

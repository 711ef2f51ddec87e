import json
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel import Nifti1Image, as_closest_canonical

from limbeck.data.geometry import Box, Geometry
from limbeck.data.grid import Grid
from limbeck.data.resample import resize, resize_array
from limbeck.errors import DataError

ORIENTATIONS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
shapes = st.tuples(*[st.integers(1, 11)] * 3)
spacings = st.tuples(*[st.sampled_from([0.5, 0.8, 0.996, 1.0, 1.3, 2.0, 3.0, 5.0])] * 3)


def affine_of(order, signs, spacing=(1, 1, 1), tilt=0.0):
    affine = np.eye(4)
    affine[:3, :3] = 0
    for native in range(3):
        affine[order[native], native] = signs[native] * spacing[native]
    angle = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine[:3, :3] = angle @ affine[:3, :3]
    affine[:3, 3] = (3.5, -20, 11)
    return affine


def geometry_of(shape, affine, spacing_mm=1.0):
    return Geometry.of(Grid.of(shape, affine), spacing_mm)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_axes_are_those_of_nibabels_closest_canonical(order, signs, tilt):
    shape, affine = (3, 4, 5), affine_of(order, signs, tilt=tilt)
    array = np.arange(60, dtype=np.float32).reshape(shape)
    canonical = as_closest_canonical(Nifti1Image(array, affine)).get_fdata()
    turned = geometry_of(shape, affine).to_model(array)
    assert np.array_equal(turned, canonical.transpose(2, 1, 0))
    assert turned.flags.c_contiguous


@settings(max_examples=60, deadline=None)
@given(shape=shapes, orientation=st.sampled_from(ORIENTATIONS), seed=st.integers(0, 99))
def test_without_resampling_everything_comes_back_exactly(shape, orientation, seed):
    rng = np.random.default_rng(seed)
    geometry = geometry_of(shape, affine_of(*orientation, spacing=(1.005, 0.995, 1.0)))
    assert not geometry.resamples
    labels = rng.integers(0, 5, shape).astype(np.uint8)
    assert np.array_equal(geometry.labels_to_native(geometry.labels_to_model(labels)), labels)
    scores = torch.from_numpy(np.stack([geometry.to_model(labels == code) for code in range(5)]))
    assert np.array_equal(geometry.to_native_scores(scores).argmax(0).numpy(), labels)


@settings(max_examples=60, deadline=None)
@given(shape=shapes, orientation=st.sampled_from(ORIENTATIONS), spacing=spacings, model=st.sampled_from([1.0, 2.0]))
def test_shapes_come_back_and_constants_stay(shape, orientation, spacing, model):
    geometry = geometry_of(shape, affine_of(*orientation, spacing=spacing), model)
    turned = geometry.to_model(np.full(shape, 7, np.int16))
    assert turned.shape == geometry.shape
    assert np.allclose(turned, 7, rtol=1e-5)
    resized = torch.from_numpy(resize_array(turned, geometry.oriented_shape))
    back = geometry.to_native_scores(resized[None].repeat(3, 1, 1, 1))
    assert back.shape == (3, *shape)
    assert torch.allclose(back, torch.tensor(7.0), rtol=1e-4)
    assert geometry.labels_to_native(geometry.labels_to_model(np.ones(shape, np.uint8))).shape == shape


@settings(max_examples=30, deadline=None)
@given(shape=shapes, orientation=st.sampled_from(ORIENTATIONS), spacing=spacings)
def test_json_carries_everything(shape, orientation, spacing):
    geometry = geometry_of(shape, affine_of(*orientation, spacing=spacing, tilt=0.1))
    again = Geometry.from_json(json.loads(json.dumps(geometry.to_json())))
    array = np.random.default_rng(0).random(shape).astype(np.float32)
    assert np.array_equal(again.to_model(array), geometry.to_model(array))
    assert again.grid.header == geometry.grid.header
    assert np.array_equal(again.grid.affine, geometry.grid.affine)
    assert (again.axes, again.flipped, again.shape) == (geometry.axes, geometry.flipped, geometry.shape)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS[::5])
def test_a_place_in_the_head_stays_where_it_is(order, signs):
    """A ramp along each world axis must rise along the model axis that stands for it, at the model's spacing."""
    shape, spacing = (16, 20, 12), (0.5, 1.0, 2.0)
    affine = affine_of(order, signs, spacing)
    geometry = geometry_of(shape, affine)
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = indices @ affine[:3, :3].T + affine[:3, 3]
    for model_axis, world_axis in enumerate((2, 1, 0)):
        ramp = geometry.to_model(world[..., world_axis])
        inner = np.moveaxis(ramp, model_axis, 0)[2:-2]
        native = geometry.axes[model_axis]
        voxel_mm = geometry.grid.spacing_mm[native] * shape[native] / geometry.shape[model_axis]
        assert np.allclose(np.diff(inner, axis=0), voxel_mm, atol=1e-4)
        assert np.isclose(ramp.mean(), world[..., world_axis].mean(), atol=1e-3)


def test_smooth_blobs_survive_the_round_trip():
    shape, spacing = (40, 36, 12), (1.0, 0.8, 3.0)
    centred = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    labels = np.select([(centred**2).sum(0) < 0.2, (centred**2).sum(0) < 0.5], [1, 2], 0).astype(np.uint8)
    geometry = geometry_of(shape, affine_of((1, 0, 2), (-1, 1, -1), spacing))
    back = geometry.labels_to_native(geometry.labels_to_model(labels))
    for code in (1, 2):
        both = ((back == code) & (labels == code)).sum()
        assert 2 * both / ((back == code).sum() + (labels == code).sum()) > 0.93
    assert set(np.unique(geometry.labels_to_model(labels))) <= {0, 1, 2}


def test_labels_are_never_interpolated_as_numbers():
    """Between background and label 4 nothing may appear that is neither."""
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[3:6] = 4
    for spacing in (0.4, 0.7, 1.6, 3.0):
        assert set(np.unique(geometry_of((9, 9, 9), np.eye(4), spacing).labels_to_model(labels))) <= {0, 4}


def test_halving_is_an_exact_mean():
    image = torch.rand(1, 8, 6, 4)
    assert torch.allclose(resize(image, (4, 3, 2)), torch.nn.functional.avg_pool3d(image, 2), atol=1e-6)


def test_strong_downsampling_does_not_alias():
    """Stripes finer than the new voxels must become grey, not other stripes."""
    stripes = (torch.arange(96) % 2).float()[:, None, None].expand(96, 4, 4)[None]
    plain = torch.nn.functional.interpolate(stripes[None], size=(17, 4, 4), mode="trilinear")
    assert (plain - 0.5).abs().max() > 0.3
    # The outermost voxels see the repeated edge.
    assert (resize(stripes, (17, 4, 4))[:, 1:-1] - 0.5).abs().max() < 0.02


def test_an_absurd_model_grid_is_refused():
    with pytest.raises(DataError, match="voxel size"):
        geometry_of((200, 200, 200), np.diag([100.0, 100.0, 100.0, 1]))


@settings(max_examples=40, deadline=None)
@given(shape=shapes, margin=st.integers(0, 4), seed=st.integers(0, 99))
def test_what_a_box_cuts_it_puts_back(shape, margin, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.02
    box = Box.around(mask, margin)
    assert mask[box.slices].sum() == mask.sum()
    values = torch.from_numpy(np.stack([mask, 2 * mask]).astype(np.float32))
    assert torch.equal(box.restore(values[(slice(None), *box.slices)], shape), values)


def test_a_box_is_tight():
    mask = np.zeros((5, 6, 7), bool)
    mask[2, 3, 1:5] = True
    assert Box.around(mask) == Box((2, 3, 1), (3, 4, 5))
    assert Box.around(mask, 2) == Box((0, 1, 0), (5, 6, 7))
    assert Box.around(np.zeros((5, 6, 7), bool)).shape == (5, 6, 7)


def test_the_result_never_shares_memory_with_the_scan():
    array = np.asfortranarray(np.random.default_rng(0).random((4, 5, 6)).astype(np.float32))
    geometry = geometry_of((4, 5, 6), np.eye(4))
    assert not np.shares_memory(geometry.to_model(array), array)
    assert not np.shares_memory(geometry.labels_to_model(np.asfortranarray(array > 0).view(np.uint8)), array)


def test_a_spacing_within_a_hundredth_keeps_its_voxels():
    assert not geometry_of((200, 300, 250), np.diag([1.005, 0.995, 1.009, 1])).resamples
    assert geometry_of((200, 300, 250), np.diag([1.0, 1.0, 1.02, 1])).shape == (255, 300, 200)


def test_a_tie_between_labels_goes_to_the_lower_code():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[::2] = 3
    assert not geometry_of((4, 4, 4), np.eye(4), 2.0).labels_to_model(labels).any()


@pytest.mark.parametrize("factor", [3, 4, 6])
def test_downsampling_blurs_as_much_as_a_mean_over_the_new_voxel(factor):
    """Of x squared, a mean over f voxels gives the centre squared plus the variance (f^2 - 1) / 12."""
    places = torch.arange(30 * factor, dtype=torch.float64)
    squares = (places.float() ** 2)[:, None, None].expand(-1, 2, 2)[None]
    centres = (torch.arange(30) + 0.5) * factor - 0.5
    variance = resize(squares, (30, 2, 2))[0, :, 0, 0] - centres**2
    # A factor of 3 meets voxels head on, so that interpolation adds no blur of its own there.
    own = 0.25 if factor % 2 == 0 else 0.0
    assert torch.allclose(variance[5:10], torch.tensor((factor**2 - 4) / 12 + own), rtol=0.1)


def test_a_grid_s_edges_are_the_norms_of_its_columns_and_its_volume_is_theirs() -> None:
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.9, -1.1, 5.0])
    grid = Grid.of((4, 5, 6), affine)
    assert grid.spacing_mm == pytest.approx((0.9, 1.1, 5.0))
    assert (grid.voxel_mm3, grid.voxel_ml) == (4.95, 0.00495)

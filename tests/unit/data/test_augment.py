"""Augmentation: what must stay (background, codes, the inputs), what must move, and where chance comes from."""

from dataclasses import fields, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data.augment import (
    Augmentation,
    Parameters,
    _to_source,
    apply,
    bias_field,
    draw,
    gaussian_matrix,
    slice_matrix,
)
from limbeck.errors import UsageError

PROBABILITIES = [field.name for field in fields(Augmentation) if field.name.endswith("_probability")]
INTENSITY = [name for name in PROBABILITIES if name not in ("flip_probability", "affine_probability")]
SIZE = (12, 16, 10)


def only(*names):
    """Settings under which these changes always happen, and no others."""
    return replace(Augmentation.off(), **dict.fromkeys(names, 1.0))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    """A brain in the middle of each sequence; the last sequence of the second sample is absent."""
    found = torch.zeros(2, 4, *SIZE)
    found[:, :, 2:-2, 3:-3, 2:-2] = torch.randn(2, 4, 8, 10, 6, generator=seeded(1))
    found[1, 3] = 0
    return found


@pytest.fixture
def labels():
    found = torch.zeros(2, *SIZE, dtype=torch.long)
    found[:, 4:8, 5:9, 3:6] = 2
    found[0, 5:7, 6:8, 4:6] = 3
    return found


def same(first, second):
    return all(torch.equal(getattr(first, field.name), getattr(second, field.name)) for field in fields(Parameters))


def test_identity_gives_back_the_input(images, labels):
    changed, codes = apply(images, labels, Parameters.identity(2))
    assert torch.equal(changed, images)
    assert torch.equal(codes, labels)


@pytest.mark.parametrize("name", PROBABILITIES)
def test_every_change_moves_something_and_leaves_its_input(name, images, labels):
    before, codes_before = images.clone(), labels.clone()
    changed, codes = apply(images, labels, draw(only(name), 2, seeded(3)))
    assert not torch.equal(changed, images)
    assert torch.equal(images, before)
    assert torch.equal(labels, codes_before)
    assert changed.dtype == images.dtype
    assert codes.dtype == labels.dtype
    assert torch.equal(codes, labels) == (name in INTENSITY)


@pytest.mark.parametrize("name", INTENSITY)
def test_background_and_absent_sequences_stay_exactly_zero(name, images, labels):
    changed, _ = apply(images, labels, draw(only(name), 2, seeded(3)))
    assert changed.isfinite().all()
    assert not changed[images == 0].any()
    assert not changed[1, 3].any()


@pytest.mark.parametrize("name", INTENSITY)
def test_intensity_is_drawn_for_each_sequence(name, images, labels):
    """Sequences that were alike are no longer."""
    alike = images[:, :1].expand(-1, 4, -1, -1, -1).contiguous()
    changed, _ = apply(alike, labels, draw(only(name), 2, seeded(3)))
    pairs = [(a, b) for a in range(4) for b in range(a)]
    assert any(not torch.equal(changed[0, a], changed[0, b]) for a, b in pairs)


@given(seed=st.integers(0, 2**32), batch=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_chance_comes_from_the_generator_alone(seed, batch):
    first = draw(Augmentation(), batch, seeded(seed))
    torch.rand(7)
    assert same(first, draw(Augmentation(), batch, seeded(seed)))
    assert not same(first, draw(Augmentation(), batch, seeded(seed + 1)))


def test_the_same_parameters_give_the_same_batch(images, labels):
    parameters = draw(only(*PROBABILITIES), 2, seeded(5))
    first, codes = apply(images, labels, parameters)
    torch.rand(7)
    again, codes_again = apply(images, labels, parameters)
    assert torch.equal(first, again)
    assert torch.equal(codes, codes_again)


def test_a_sample_does_not_depend_on_its_neighbours(images, labels):
    parameters = draw(only(*PROBABILITIES), 2, seeded(5))
    both, codes = apply(images, labels, parameters)
    last = Parameters(**{field.name: getattr(parameters, field.name)[1:] for field in fields(Parameters)})
    alone, codes_alone = apply(images[1:], labels[1:], last)
    assert torch.equal(both[1:], alone)
    assert torch.equal(codes[1:], codes_alone)


@pytest.mark.parametrize("name", PROBABILITIES)
def test_a_changed_probability_leaves_the_other_draws(name):
    always, never = (draw(replace(Augmentation(), **{name: p}), 2, seeded(7)) for p in (1.0, 0.0))
    differ = [f.name for f in fields(Parameters) if not torch.equal(getattr(always, f.name), getattr(never, f.name))]
    stem = name.removesuffix("_probability")
    expected = {"flip": {"flips"}, "affine": {"rotation_degrees", "scale"}}
    assert set(differ) == expected.get(stem, {n for n in differ if n.startswith(stem)})
    assert differ


@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_what_is_drawn_lies_in_its_range(seed):
    chosen = only(*PROBABILITIES)
    parameters = draw(chosen, 3, seeded(seed))
    assert parameters.rotation_degrees.abs().max() <= chosen.rotation_degrees
    for name in ("scale", "bias_log_gain", "gamma", "blur_voxels", "slice_voxels", "noise_std", "contrast"):
        low, high = getattr(chosen, name)
        values = getattr(parameters, name).double()
        assert low - 1e-6 <= values.min(), name
        assert values.max() <= high + 1e-6, name
    assert parameters.brightness.abs().max() <= 0.2 + 1e-6


def test_probabilities_are_kept():
    parameters = draw(replace(Augmentation(), gamma_probability=0.25, flip_probability=0.75), 2000, seeded())
    assert (parameters.gamma != 1).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert parameters.flips.float().mean().item() == pytest.approx(0.75, abs=0.02)


def test_flips_are_exact_and_the_same_for_images_and_labels(images, labels):
    flips = torch.tensor([[True, False, True], [False, False, False]])
    changed, codes = apply(images, labels, replace(Parameters.identity(2), flips=flips))
    assert torch.equal(changed[0], images[0].flip(1, 3))
    assert torch.equal(codes[0], labels[0].flip(0, 2))
    assert torch.equal(changed[1], images[1])
    assert torch.equal(codes[1], labels[1])


@given(seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_labels_keep_their_codes_and_follow_the_images(seed):
    """A sequence that shows the labels themselves still shows them, but for the rim that interpolation blurs."""
    labels = torch.zeros(1, 16, 16, 16, dtype=torch.uint8)
    labels[:, 4:12, 5:12, 4:10] = 4
    images = labels[:, None].float().repeat(1, 4, 1, 1, 1)
    changed, codes = apply(images, labels, draw(only("flip_probability", "affine_probability"), 1, seeded(seed)))
    assert set(codes.unique().tolist()) <= {0, 4}
    inside = changed[:, 0] > 2
    assert (inside != (codes > 0)).float().mean() < 0.02
    assert inside.any()
    assert torch.equal(changed[:, 0], changed[:, 3])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_quarter_turn_moves_voxels_to_their_places(axis):
    images = torch.randn(1, 4, 8, 8, 8, generator=seeded(2))
    labels = torch.randint(0, 4, (1, 8, 8, 8), generator=seeded(3))
    degrees = torch.zeros(1, 3)
    degrees[0, axis] = 90
    changed, codes = apply(images, labels, replace(Parameters.identity(1), rotation_degrees=degrees))
    plane = [other for other in range(3) if other != axis]
    turns = [k for k in (1, 3) if torch.equal(codes[0], torch.rot90(labels[0], k, plane))]
    assert len(turns) == 1
    expected = torch.rot90(images[0], turns[0], [first + 1 for first in plane])
    assert torch.allclose(changed[0], expected, atol=1e-4)


def test_a_crop_that_is_no_cube_is_turned_without_shear():
    """A bar along the long axis lies along the short one after a quarter turn, as long as it was."""
    labels = torch.zeros(1, 8, 12, 24, dtype=torch.long)
    labels[0, 3:5, 5:7, 8:16] = 1
    degrees = torch.tensor([[90.0, 0.0, 0.0]])
    _, codes = apply(labels[:, None].float(), labels, replace(Parameters.identity(1, 1), rotation_degrees=degrees))
    expected = torch.zeros_like(labels)
    expected[0, 3:5, 2:10, 11:13] = 1
    assert torch.equal(codes, expected)


def test_scale_magnifies():
    labels = torch.zeros(1, 16, 16, 16, dtype=torch.long)
    labels[0, 6:10, 6:10, 6:10] = 1
    _, codes = apply(labels[:, None].float(), labels, replace(Parameters.identity(1, 1), scale=torch.tensor([2.0])))
    assert codes.sum() == 8**3
    assert codes[0, 4:12, 4:12, 4:12].all()


@pytest.mark.parametrize("name", ["bias_probability", "gamma_probability"])
def test_signal_changes_keep_the_brains_mean_and_spread(name, images, labels):
    changed, _ = apply(images, labels, draw(only(name), 2, seeded(3)))
    brain = images[0, 0] != 0
    assert changed[0, 0][brain].mean().item() == pytest.approx(images[0, 0][brain].mean().item(), abs=1e-5)
    assert changed[0, 0][brain].std().item() == pytest.approx(images[0, 0][brain].std().item(), rel=1e-4)


def test_gamma_keeps_the_order_of_intensities(images, labels):
    changed, _ = apply(images, labels, replace(Parameters.identity(2), gamma=torch.full((2, 4), 0.7)))
    brain = images[0, 0] != 0
    assert torch.equal(images[0, 0][brain].argsort(), changed[0, 0][brain].argsort())


def test_contrast_and_brightness_by_hand(images, labels):
    parameters = replace(Parameters.identity(2), contrast=torch.full((2, 4), 1.5), brightness=torch.full((2, 4), -0.25))
    changed, _ = apply(images, labels, parameters)
    assert torch.allclose(changed, torch.where(images != 0, 1.5 * images - 0.25, 0.0))


def test_noise_has_the_spread_asked_for():
    images = torch.ones(1, 4, 24, 24, 24)
    labels = torch.zeros(1, 24, 24, 24, dtype=torch.long)
    parameters = replace(Parameters.identity(1), noise_std=torch.tensor([[0.1, 0.0, 0.3, 0.0]]))
    changed, _ = apply(images, labels, parameters)
    assert changed.std((0, 2, 3, 4)).tolist() == pytest.approx([0.1, 0, 0.3, 0], rel=0.05)


def test_a_constant_sequence_survives_everything(labels):
    changed, _ = apply(torch.ones(2, 4, *SIZE), labels, draw(only(*PROBABILITIES), 2, seeded(3)))
    assert changed.isfinite().all()


def test_bias_is_smooth_and_as_strong_as_asked():
    waves = torch.randn(4, 4, 4, generator=seeded(4))
    log_gain = bias_field(waves, 0.3, torch.Size(SIZE)).log()
    assert log_gain.shape == SIZE
    assert log_gain.abs().max().item() == pytest.approx(0.3, abs=1e-5)
    slow = torch.zeros(4, 4, 4)
    slow[0, 1, 0] = 1.0
    field = bias_field(slow, 0.3, torch.Size(SIZE))
    assert torch.allclose(field, field[:1, :, :1].expand(SIZE))
    assert (field[0, :-1, 0] > field[0, 1:, 0]).all()


@pytest.mark.parametrize("matrix", [gaussian_matrix(16, 0.8), slice_matrix(16, 2.0), slice_matrix(16, 40.0)])
def test_resolution_keeps_a_constant_and_lowers_a_peak(matrix):
    assert torch.allclose(matrix.sum(1), torch.ones(16))
    assert matrix.min() >= 0
    assert matrix.diagonal().max() < 1


def test_thick_slices_of_two_by_hand():
    """Pairs are averaged, and their centres joined by straight lines; the rim is held."""
    found = slice_matrix(4, 2.0) @ torch.tensor([0.0, 2.0, 4.0, 6.0])
    assert found.tolist() == pytest.approx([1, 2, 4, 5])


def test_slices_are_thick_along_their_axis_alone():
    images = torch.zeros(1, 1, 8, 8, 8)
    images += torch.tensor([1.0, 2.0] * 4)[:, None]
    labels = torch.zeros(1, 8, 8, 8, dtype=torch.long)
    parameters = replace(Parameters.identity(1, 1), slice_voxels=torch.full((1, 1), 2.0))
    for axis, blurred in ((0, False), (1, True), (2, False)):
        changed, _ = apply(images, labels, replace(parameters, slice_axis=torch.full((1, 1), axis)))
        assert torch.allclose(changed, torch.full_like(images, 1.5) if blurred else images)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_blur_is_the_gaussian_along_every_axis(axis):
    images = torch.full((1, 1, 15, 15, 15), 1e-9)
    images[0, 0, 7, 7, 7] = 1.0
    labels = torch.zeros(1, 15, 15, 15, dtype=torch.long)
    changed, _ = apply(images, labels, replace(Parameters.identity(1, 1), blur_voxels=torch.full((1, 1), 1.0)))
    profile = changed[0, 0].movedim(axis, 0)[:, 7, 7]
    expected = torch.exp(-((torch.arange(15.0) - 7) ** 2) / 2) * (torch.arange(15) - 7).abs().le(4)
    assert torch.allclose(profile / profile[7], expected, atol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"flip_probability": 1.5},
        {"gamma": (1.4, 0.7)},
        {"scale": (0.0, 1.0)},
        {"noise_std": (-0.1, 0.1)},
        {"slice_voxels": (0.5, 2.0)},
        {"rotation_degrees": -5.0},
        {"contrast": (0.5, 0.7, 0.9)},
    ],
)
def test_wrong_settings_are_named(wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=name):
        Augmentation(**wrong)


@pytest.mark.parametrize("depth", [1, 7, 12, 16])
def test_slabs_give_the_bits_of_the_whole(depth):
    """However many threads can work on a crop."""
    image = torch.randn(3, depth, 10, 14, generator=seeded(1))
    codes = torch.randint(0, 4, (depth, 10, 14), generator=seeded(2))
    parameters = draw(only("affine_probability"), 1, seeded(3))
    matrix = _to_source(parameters.rotation_degrees, parameters.scale, codes.shape)
    grid = F.affine_grid(matrix, [1, 1, *codes.shape], align_corners=False)
    changed, changed_codes = apply(image[None], codes[None], parameters.of_sequences([0, 1, 2]))
    assert torch.equal(changed, F.grid_sample(image[None], grid, mode="bilinear", align_corners=False))
    nearest = F.grid_sample(codes[None, None].float(), grid, mode="nearest", align_corners=False)
    assert torch.equal(changed_codes, nearest[0].long())


def test_parameters_of_some_sequences_are_theirs(images, labels):
    parameters = draw(only(*PROBABILITIES), 2, seeded(5))
    whole, codes = apply(images, labels, parameters)
    some, codes_again = apply(images[:, [2, 0]], labels, parameters.of_sequences([2, 0]))
    assert torch.equal(some, whole[:, [2, 0]])
    assert torch.equal(codes, codes_again)

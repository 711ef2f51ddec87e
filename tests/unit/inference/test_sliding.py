"""Sliding windows: what they give back, what they may look at, and what must not matter."""

import pytest
import torch
from torch import nn

from limbeck.batch import View
from limbeck.errors import UsageError
from limbeck.inference.sliding import gaussian_weights, sliding_window, window_starts

PATCH = (8, 8, 8)
ALL = torch.ones(4, dtype=torch.bool)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def copy(view: View) -> torch.Tensor:
    return view.images


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Conv3d(4, 6, 3, padding=1), nn.ReLU(), nn.Conv3d(6, 3, 3, padding=1)).eval()


def run(network: nn.Module, images: torch.Tensor, available: torch.Tensor = ALL, **settings) -> torch.Tensor:
    with torch.no_grad():
        return sliding_window(lambda view: network(view.images), images, available, PATCH, **settings)


@pytest.mark.parametrize("shape", [(8, 8, 8), (19, 11, 8), (5, 9, 3), (1, 1, 1), (20, 24, 17)])
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.9])
def test_a_copying_predictor_gives_the_volume_back(shape, overlap):
    images = torch.randn(4, *shape)
    scores = sliding_window(copy, images, ALL, PATCH, overlap=overlap)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, images, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("noise", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("shape", [(15, 12, 9), (5, 12, 6)])
def test_absent_channels_leave_no_trace(network, noise, shape):
    images = torch.randn(4, *shape)
    available = torch.tensor([True, False, True, False])
    poisoned = images.clone()
    poisoned[~available] = noise
    background = torch.tensor([1.0, 0.0, 0.0])
    for skipped in (None, background):
        clean = run(network, images, available, background=skipped)
        assert torch.equal(clean, run(network, poisoned, available, background=skipped))
        assert clean.isfinite().all()


def test_content_in_an_absent_channel_does_not_make_a_window_worth_predicting():
    images = torch.zeros(4, 8, 8, 8)
    images[1] = 5.0
    calls = []

    def predict(view: View) -> torch.Tensor:
        calls.append(view)
        return view.images

    available = torch.tensor([True, False, True, True])
    scores = sliding_window(predict, images, available, PATCH, background=torch.tensor([0.7, 0.1, 0.1, 0.1]))
    assert not calls
    assert torch.equal(scores, torch.tensor([0.7, 0.1, 0.1, 0.1])[:, None, None, None].expand(-1, 8, 8, 8))


@pytest.mark.parametrize("background", [None, torch.tensor([1.0, 0.0, 0.0])])
def test_the_batch_size_does_not_matter(network, background):
    images = torch.randn(4, 21, 12, 17)
    images[:, :10] = 0
    alone = run(network, images, background=background)
    for batch in (2, 3, 100):
        torch.testing.assert_close(run(network, images, batch=batch, background=background), alone, rtol=0, atol=1e-6)


def test_windows_are_accumulated_in_the_same_order_whatever_the_batch():
    images = torch.randn(4, 21, 12, 17)
    alone = sliding_window(copy, images, ALL, PATCH)
    assert torch.equal(alone, sliding_window(copy, images, ALL, PATCH, batch=5))


def test_origin_is_the_first_voxel_in_the_volume_even_when_padded():
    images = torch.ones(4, 5, 12, 8)
    seen: list[list[int]] = []

    def predict(view: View) -> torch.Tensor:
        seen.extend(view.origin.tolist())
        return view.images

    sliding_window(predict, images, ALL, PATCH, overlap=0.5, batch=2)
    assert seen == [[-1, 0, 0], [-1, 4, 0]]


def test_positions_within_the_volume_come_back_where_they_were():
    def coordinates(view: View) -> torch.Tensor:
        grid = torch.stack(torch.meshgrid(*[torch.arange(8)] * 3, indexing="ij"))
        return (grid + view.origin[:, :, None, None, None]).float()

    scores = sliding_window(coordinates, torch.ones(4, 13, 6, 10), ALL, PATCH, batch=3)
    expected = torch.stack(torch.meshgrid(torch.arange(13), torch.arange(6), torch.arange(10), indexing="ij"))
    torch.testing.assert_close(scores, expected.float(), rtol=1e-5, atol=1e-5)


def test_only_windows_with_tissue_are_predicted():
    images = torch.zeros(4, 8, 8, 32)
    images[2, 4, 4, 2] = 1.0
    calls = []

    def predict(view: View) -> torch.Tensor:
        calls.append(view.origin[0, 2].item())
        return torch.stack([torch.zeros(1, *PATCH), torch.ones(1, *PATCH)], dim=1)

    scores = sliding_window(predict, images, ALL, PATCH, overlap=0.0, background=torch.tensor([1.0, 0.0]))[:, 0, 0]
    assert calls == [0]
    assert torch.equal(scores[1], (torch.arange(32) < 8).float())
    assert torch.equal(scores[0], (torch.arange(32) >= 8).float())


def test_a_skipped_window_counts_as_a_prediction_of_background():
    images = torch.zeros(4, 8, 8, 14)
    images[:, :, :, 0] = 1.0

    def predict(view: View) -> torch.Tensor:
        tissue = (view.images != 0).any()
        scores = torch.tensor([0.2, 0.8]) if tissue else torch.tensor([1.0, 0.0])
        return scores[None, :, None, None, None].expand(1, 2, *PATCH)

    skipped = sliding_window(predict, images, ALL, PATCH, background=torch.tensor([1.0, 0.0]))
    predicted = sliding_window(predict, images, ALL, PATCH)
    torch.testing.assert_close(skipped, predicted)
    assert 0.2 < skipped[0, 0, 0, 6] < 1.0


def test_blending_leaves_no_seam():
    step = iter(range(100))

    def disagreeing(view: View) -> torch.Tensor:
        return torch.full((1, 1, 1, 1, 32), float(next(step)))

    jumps = sliding_window(disagreeing, torch.ones(4, 1, 1, 96), ALL, (1, 1, 32))[0, 0, 0].diff()
    assert (jumps >= -1e-5).all()
    assert jumps.sum() == pytest.approx(4)
    # Five windows that disagree by 1 each: a plain mean would jump by a half.
    assert jumps.max() < 0.3


def test_weights_are_symmetric_positive_and_largest_in_the_centre():
    weights = gaussian_weights((16, 9, 4))
    assert weights.shape == (16, 9, 4)
    assert torch.allclose(weights, weights.flip(0, 1, 2))
    assert weights.min() == pytest.approx(1e-3)
    assert weights.max() == weights[7, 4, 1]


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.99])
@pytest.mark.parametrize("length", [8, 9, 15, 16, 31])
def test_windows_cover_every_voxel_and_stay_inside(length, overlap):
    starts = [start[0] for start in window_starts((length, 8, 8), PATCH, overlap)]
    assert {voxel for start in starts for voxel in range(start, start + 8)} == set(range(length))
    assert len(set(starts)) == len(starts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"overlap": 1.0}, "overlap"), ({"overlap": -0.1}, "overlap"), ({"batch": 0}, "batch size")],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        sliding_window(copy, torch.zeros(4, 8, 8, 8), ALL, PATCH, **settings)


def test_a_patch_without_extent_is_refused():
    with pytest.raises(UsageError, match="patch"):
        sliding_window(copy, torch.zeros(4, 8, 8, 8), ALL, (8, 0, 8))


def test_scores_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="expected"):
        sliding_window(lambda view: view.images.mean((2, 3, 4), keepdim=True), torch.ones(4, 8, 8, 8), ALL, PATCH)

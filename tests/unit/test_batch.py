"""A view shows what is available and nothing else."""

from __future__ import annotations

import pytest
import torch

from limbeck.anatomy import Subset
from limbeck.batch import Batch, View

SHAPE = (2, 4, 3, 4, 5)


def masks(*subsets: str) -> torch.Tensor:
    return torch.tensor([Subset.parse(subset).mask() for subset in subsets])


# Of all four, nothing is denied.
@pytest.mark.parametrize("subset", [subset for subset in Subset.every() if len(subset) < 4], ids=str)
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -1e30])
def test_a_denied_channel_leaks_nothing(subset: Subset, poison: float) -> None:
    images, available = torch.randn(SHAPE), masks(str(subset), str(subset))
    poisoned = torch.where(available[:, :, None, None, None], images, torch.tensor(poison))

    clean, seen = View.of(images, available).images, View.of(poisoned, available).images

    assert torch.equal(seen, clean)
    assert torch.equal(seen[available], images[available])
    assert seen[~available].count_nonzero() == 0
    # Minus zero would show through a division.
    assert not seen[~available].signbit().any()


def test_each_sample_has_its_own_mask() -> None:
    images = torch.ones(SHAPE)
    view = View.of(images, masks("flair", "t1ce+t2"))
    assert view.images.amax(dim=(2, 3, 4)).tolist() == [[1, 0, 0, 0], [0, 0, 1, 1]]


def test_a_denied_channel_gets_no_gradient() -> None:
    images = torch.full(SHAPE, 2.0, requires_grad=True)
    available = masks("t1", "all")
    View.of(images, available).images.square().sum().backward()
    assert images.grad is not None
    assert images.grad[~available].count_nonzero() == 0
    assert (images.grad[available] == 4).all()


def test_the_input_is_left_as_it_was() -> None:
    images = torch.randn(SHAPE)
    before = images.clone()
    View.of(images, masks("flair", "t2"))
    assert torch.equal(images, before)


def test_half_precision_stays_half_precision() -> None:
    assert View.of(torch.zeros(SHAPE, dtype=torch.bfloat16), masks("t1", "t1")).images.dtype is torch.bfloat16


def test_only_gives_the_subset_in_canonical_order() -> None:
    images = torch.arange(4.0)[None, :, None, None, None].expand(SHAPE)
    view = View.of(images, masks("all", "all"))
    assert view.only(Subset.parse("t2+flair"))[0, :, 0, 0, 0].tolist() == [0, 3]
    assert view.only(Subset.parse("t1ce")).shape == (2, 1, 3, 4, 5)


def test_the_origin_is_the_corner_unless_given() -> None:
    images, available = torch.zeros(SHAPE), masks("t1", "t1")
    origin = torch.tensor([[1, 2, 3], [4, 5, 6]])
    assert View.of(images, available).origin.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert torch.equal(View.of(images, available, origin).origin, origin)


def test_a_batch_moves_as_a_whole() -> None:
    images = torch.zeros(SHAPE)
    batch = Batch(
        View.of(images, masks("t1", "t1")), images, masks("all", "all"), torch.zeros(2, 3, 4, 5).long(), ("a", "b")
    )
    moved = batch.to("meta")
    tensors = [moved.view.images, moved.view.available, moved.view.origin, moved.complete, moved.present, moved.labels]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.case_ids == ("a", "b")

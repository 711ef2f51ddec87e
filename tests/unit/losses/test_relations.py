"""Relations between regions, positions, patches and channels."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from unit.losses.whole_matrices import plain_distance

from limbeck import losses
from limbeck.errors import UsageError
from limbeck.losses import relations


@pytest.fixture
def features():
    torch.manual_seed(0)
    return torch.randn(2, 6, 3, 3, 3, dtype=torch.float64)


@pytest.fixture
def masks():
    found = torch.zeros(2, 3, 3, 3, 3)
    found[:, 0], found[:, 1, :2], found[0, 2, :1] = 1, 1, 1
    return found


def test_class_relation_by_hand():
    """Two regions of one voxel: at a right angle for the student, alike for the teacher, both ordered pairs count."""
    student = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    teacher = torch.tensor([[[1.0, 3.0], [1.0, 3.0]]])
    assert losses.class_relation(student, teacher, torch.eye(2)[None]).tolist() == pytest.approx([2.0])


def test_class_relation_does_not_mind_rotation_and_scale(features, masks):
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    turned = 2.5 * torch.einsum("oc,bcdhw->bodhw", rotation, features)
    assert losses.class_relation(turned, features, masks).tolist() == pytest.approx([0, 0], abs=1e-12)


def test_class_relation_leaves_out_pairs_with_an_empty_region(features, masks):
    other = features.roll(1, 2)
    with_third = losses.class_relation(features, other, masks)
    without = losses.class_relation(features, other, masks[:, :2])
    assert torch.allclose(with_third[1], without[1])
    assert with_third[0] > without[0]


def test_class_relation_of_extremes_by_hand():
    """The first region's two voxels: their mean lies between the axes, their largest values point as (2, 1) does."""
    student = torch.tensor([[[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]], dtype=torch.float64)
    masks = torch.tensor([[[1, 1, 0], [0, 0, 1]]])
    alike = torch.ones(1, 2, 3, dtype=torch.float64)
    expected = 2 * (1 - 2 / math.sqrt(5))
    assert losses.class_relation(student, alike, masks, "max").tolist() == pytest.approx([expected])
    assert losses.class_relation(student, alike, masks, "mid").tolist() == pytest.approx([expected])
    # The smallest values are both 0, and a vector without direction is at a right angle to every other.
    assert losses.class_relation(student, alike, masks, "min").tolist() == pytest.approx([2.0])


def test_class_relation_allows_other_widths(features, masks):
    wide = torch.cat([features, features], dim=1)
    assert losses.class_relation(features, wide, masks).tolist() == pytest.approx([0, 0], abs=1e-12)


def test_rows_of_a_relation_sum_to_one_even_when_products_are_huge(features):
    matrix = losses.relation_matrix(100 * features.float(), 100 * features.float())
    assert matrix.shape == (2, 27, 27)
    assert torch.allclose(matrix.sum(2), torch.ones(2, 27))


def test_relation_by_hand():
    """One channel, two positions: queries 1 and 0, keys 0 and log 3."""
    queries = torch.tensor([[[1.0, 0.0]]])
    keys = torch.tensor([[[0.0, math.log(3)]]])
    expected = torch.tensor([[[0.25, 0.75], [0.5, 0.5]]])
    assert torch.allclose(losses.relation_matrix(queries, keys), expected)


def test_distance_of_opposite_relations_reaches_its_bound():
    # So large that each position attends to one alone: the student to itself, the teacher to its neighbour.
    one = 1000 * torch.eye(4).expand(3, 4, 4)
    opposite = one, one, one, one.roll(1, 2)
    assert losses.attention_distance(*opposite, 16, "rows").item() == 2
    assert losses.attention_distance(*opposite, 16).item() == pytest.approx(2 / 16)


def test_an_unknown_normaliser_is_named():
    with pytest.raises(UsageError, match="columns"):
        losses.attention_distance(*[torch.eye(2)[None]] * 4, 1, "columns")


@pytest.fixture
def attention():
    """Queries and keys of a student `[2,3,3,4,5]` and of a teacher of twice the width, all asking for gradients."""
    torch.manual_seed(0)
    widths = (3, 3, 6, 6)
    return [torch.randn(2, width, 3, 4, 5, dtype=torch.float64, requires_grad=True) for width in widths]


@pytest.mark.parametrize("normaliser", ["paper", "entries", "rows"])
@pytest.mark.parametrize("rows", [1, 7, 60, 512])
def test_attention_in_blocks_equals_the_plain_distance(attention, normaliser, rows):
    plain = plain_distance(*attention, 8, normaliser)
    in_blocks = losses.attention_distance(*attention, 8, normaliser, rows)
    assert in_blocks.item() == pytest.approx(plain.item(), rel=1e-12)
    expected = torch.autograd.grad(plain, attention[:2])
    found = torch.autograd.grad(in_blocks, attention[:2])
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-16)


def kept_for_backward(loss):
    """The numbers in the largest tensor that a loss's graph holds, and in all of their memory, views counted once."""
    sizes, memory = [], {}

    def keep(tensor):
        sizes.append(tensor.numel())
        memory[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):
        loss()
    return max(sizes), sum(memory.values())


def test_attention_in_blocks_keeps_no_matrix(attention):
    """Neither whole nor in pieces: nothing but queries and keys is kept, where 60 positions make 3600 pairs."""
    largest, _ = kept_for_backward(lambda: plain_distance(*attention, 8))
    assert largest == 2 * 60 * 60
    largest, total = kept_for_backward(lambda: losses.attention_distance(*attention, 8, rows=7))
    assert largest <= max(tensor.numel() for tensor in attention)
    assert total <= sum(tensor.numel() for tensor in attention)


def test_attention_in_blocks_makes_no_matrix_on_either_way(attention):
    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            for tensor in made if isinstance(made, tuple | list) else [made]:
                self.numel = max(self.numel, tensor.numel() if isinstance(tensor, torch.Tensor) else 0)
            return made

    with Largest() as plain:
        plain_distance(*attention, 8).backward()
    with Largest() as in_blocks:
        losses.attention_distance(*attention, 8, rows=7).backward()
    assert plain.numel == 2 * 60 * 60
    assert in_blocks.numel <= max(2 * 7 * 60, attention[2].numel())


def test_attention_in_blocks_is_computed_again_in_full_precision(attention, monkeypatch):
    """Whether the way back runs under autocast or not: each of the 9 blocks is computed twice, both times without."""
    single = [tensor.detach().float().requires_grad_() for tensor in attention]
    expected = torch.autograd.grad(losses.attention_distance(*single, 8, rows=7), single[:2])
    calls = []
    block_distance = relations._block_distance

    def observed(*blocks):
        calls.append((torch.is_autocast_enabled("cpu"), blocks[0].dtype))
        return block_distance(*blocks)

    monkeypatch.setattr(relations, "_block_distance", observed)
    with torch.autocast("cpu", torch.bfloat16):
        loss = losses.attention_distance(*(tensor.bfloat16() for tensor in single), 8, rows=7)
        loss.backward()
        assert calls == [(False, torch.float32)] * 18
        loss = losses.attention_distance(*single, 8, rows=7)
    assert loss.dtype == torch.float32
    for one, other in zip(torch.autograd.grad(loss, single[:2]), expected, strict=True):
        assert torch.equal(one, other)


def test_attention_in_blocks_can_be_descended_by_one_group_after_another(attention):
    """As the loop does: each group's own gradient from a graph that the next group needs as well."""
    loss = losses.attention_distance(*attention, 8, rows=7)
    expected = torch.autograd.grad(plain_distance(*attention, 8), attention[:2])
    for group, gradient, again in zip(attention[:2], expected, (True, False), strict=True):
        loss.backward(inputs=[group], retain_graph=again)
        assert torch.allclose(group.grad, gradient, rtol=1e-10, atol=1e-16)


def test_a_block_has_rows(attention):
    with pytest.raises(UsageError, match="rows is 0"):
        losses.attention_distance(*attention, 8, rows=0)


def test_contrast_by_hand():
    """Two patches of unlike kind: the first vector matches its own place (cosines 1 and 0), the second neither's."""
    student = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    teacher = torch.tensor([[[2.0, 0.0], [0.0, 5.0]]])
    loss = losses.patch_contrast(student, teacher, torch.tensor([[1, 0]]), 0.5)
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 2
    assert loss.item() == pytest.approx(expected)


def test_contrast_of_one_kind_is_an_exact_zero_without_gradient():
    student = torch.randn(2, 4, 2, 2, 2, requires_grad=True)
    loss = losses.patch_contrast(student, torch.randn(2, 4, 2, 2, 2), torch.zeros(2, 2, 2, 2), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_contrast_takes_no_negatives_from_another_crop():
    """Each crop is of one kind, so there is nothing to tell apart, although the two differ."""
    foreground = torch.tensor([[0, 0], [1, 1]])
    assert losses.patch_contrast(torch.randn(2, 4, 2), torch.randn(2, 4, 2), foreground, 0.1).item() == 0


def test_twins_do_not_mind_the_scale_and_shift_of_a_channel(features):
    other = features.roll(1, 2)
    scale = torch.linspace(1, 30, 6, dtype=torch.float64).reshape(6, 1, 1, 1)
    affine = losses.barlow_twins(scale * features + 5 * scale, other)
    assert affine.item() == pytest.approx(losses.barlow_twins(features, other).item(), rel=1e-4)


def test_twins_by_hand():
    """Two channels over four samples: both correlate fully, and not with one another, until one is turned over."""
    channels = torch.tensor([[[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]]], dtype=torch.float64)
    assert losses.barlow_twins(channels, channels).item() == pytest.approx(0, abs=1e-8)
    turned = channels * torch.tensor([[[1.0], [-1.0]]])
    assert losses.barlow_twins(turned, channels).item() == pytest.approx(4, abs=1e-3)
    swapped = channels.flip(1)
    assert losses.barlow_twins(swapped, channels, redundancy=0.5).item() == pytest.approx(2 + 0.5 * 2, abs=1e-3)


def test_a_dead_channel_has_finite_gradients(features):
    student = features.clone()
    student[:, 0] = 3.0
    student.requires_grad_()
    losses.barlow_twins(student, features).backward()
    assert student.grad.isfinite().all()

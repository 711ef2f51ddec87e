"""Relations between regions, positions, patches and channels."""

import math

import pytest
import torch

from limbeck import losses
from limbeck.errors import UsageError


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
    identity = torch.eye(4).expand(3, 4, 4)
    assert losses.relation_distance(identity, identity.roll(1, 2), 16, "rows").item() == 2
    assert losses.relation_distance(identity, identity.roll(1, 2), 16).item() == pytest.approx(2 / 16)


def test_an_unknown_normaliser_is_named():
    with pytest.raises(UsageError, match="columns"):
        losses.relation_distance(torch.eye(2)[None], torch.eye(2)[None], 1, "columns")


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


def test_the_adversarial_pair_by_hand():
    undecided = torch.zeros(2, 1, 2, 2, 2)
    assert losses.critic_loss(undecided, undecided).item() == pytest.approx(math.log(2))
    assert losses.fool_loss(undecided).item() == pytest.approx(math.log(2))
    sure = torch.full_like(undecided, 200.0)
    assert losses.critic_loss(-sure, sure).item() == 0
    assert losses.fool_loss(sure).item() == 200
    assert losses.fool_loss(-sure).item() == 0


def test_the_two_sides_pull_apart():
    verdict = torch.zeros(1, requires_grad=True)
    (critic,) = torch.autograd.grad(losses.critic_loss(torch.zeros(1), verdict), verdict)
    (student,) = torch.autograd.grad(losses.fool_loss(verdict), verdict)
    assert critic < 0 < student


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

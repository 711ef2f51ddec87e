"""MTCM-KD's fusion: its published size, a sum over teachers, and a gradient for each of them."""

import pytest
import torch
from unit.networks.cost import parameters

from limbeck.networks.fusion import Fusion


def test_size_is_the_published_one():
    assert parameters(Fusion(64, 4, 3)) == 2540


def test_fusion_is_a_sum_over_teachers():
    torch.manual_seed(0)
    fusion = Fusion(16, 4, 3)
    features = [torch.randn(2, 16, 4, 4, 4) for _ in range(3)]
    heard = [reader[1](reader[0](level)) for reader, level in zip(fusion.readers, features, strict=True)]
    assert torch.allclose(fusion(features), fusion.head(heard[0] + heard[1] + heard[2]), atol=1e-6)


def test_every_teacher_learns_from_it():
    torch.manual_seed(0)
    features = [torch.randn(2, 16, 4, 4, 4, requires_grad=True) for _ in range(3)]
    fusion = Fusion(16, 4, 3)
    fusion(features).square().sum().backward()
    assert all(level.grad.any() for level in features)
    assert all(parameter.grad.any() for parameter in fusion.parameters())


@pytest.mark.parametrize("teachers", [2, 4])
def test_every_teacher_is_wanted_and_no_other(teachers):
    with pytest.raises(ValueError, match="argument 2"):
        Fusion(8, 4, 3)([torch.randn(1, 8, 2, 2, 2)] * teachers)

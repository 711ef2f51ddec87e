"""Heads: their shapes, the published sizes, and that none of them activates its logits."""

import pytest
import torch
from torch import nn
from unit.networks.cost import parameters

from limbeck.networks.heads import DeepHeads, PatchHead, Projector


def test_patch_head_gives_a_logit_for_each_patch_and_region():
    torch.manual_seed(0)
    head = PatchHead(16)
    nn.init.constant_(head.layers[-1].bias, -50.0)
    logits = head(torch.randn(2, 16, 3, 4, 2))
    assert logits.shape == (2, 3, 3, 4, 2)
    assert logits.max() < -1.0


def test_patch_head_narrows_to_half():
    norm = 2 * 128
    assert parameters(PatchHead(256)) == 256 * 128 * 27 + norm + 128 * 3 + 3


def test_projector_is_the_published_one():
    assert parameters(Projector(256)) == 256 * 256 + 256 + 256 * 128 + 128
    assert Projector(16)(torch.randn(2, 16, 3, 4, 2)).shape == (2, 8, 3, 4, 2)


def test_projector_looks_at_one_position_at_a_time():
    torch.manual_seed(0)
    projector = Projector(8)
    features = torch.randn(1, 8, 2, 2, 2)
    alone = projector(features[..., :1, :1, :1])
    assert torch.allclose(projector(features)[..., :1, :1, :1], alone, atol=1e-6)


@pytest.mark.parametrize(
    "layers", [Projector(8), PatchHead(8), DeepHeads([8], 2)], ids=lambda head: type(head).__name__
)
def test_heads_leave_the_features_as_they_were(layers):
    features = torch.randn(2, 8, 2, 2, 2)
    before = features.clone()
    layers([features] if isinstance(layers, DeepHeads) else features)
    assert torch.equal(features, before)


def test_deep_heads_give_logits_level_by_level():
    features = [torch.randn(2, 32, 2, 2, 2), torch.randn(2, 16, 4, 4, 4), torch.randn(2, 8, 8, 8, 8)]
    logits = DeepHeads((32, 16, 8), 4)(features)
    assert [tuple(level.shape) for level in logits] == [(2, 4, side, side, side) for side in (2, 4, 8)]


def test_deep_heads_want_every_level():
    heads = DeepHeads((16, 8), 4)
    with pytest.raises(ValueError, match="shorter"):
        heads([torch.randn(1, 16, 2, 2, 2)])

"""The channel gate: one number for each channel, between 0 and 1, from its mean and its maximum."""

import pytest
import torch
from torch import nn

from limbeck.networks.gate import ChannelGate


def test_a_channel_is_scaled_as_a_whole():
    torch.manual_seed(0)
    features = torch.rand(2, 32, 3, 4, 5) + 1.0
    before = features.clone()
    scale = (ChannelGate(32)(features) / features).flatten(2)
    assert torch.allclose(scale.amin(2), scale.amax(2))
    assert 0 < scale.min() < scale.max() < 1
    assert torch.equal(features, before)


def test_scale_is_the_formula():
    """sigmoid(p(mean) + p(max)), with a perceptron that is made by hand: p(x) = 2 x for one channel."""
    gate = ChannelGate(1)
    for layer, factor in ((gate.perceptron[0], 1.0), (gate.perceptron[2], 2.0)):
        nn.init.constant_(layer.weight, factor)
        nn.init.zeros_(layer.bias)
    features = torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 1, 2)
    assert torch.allclose(gate(features), features * torch.sigmoid(torch.tensor(2 * 2.0 + 2 * 3.0)))


@pytest.mark.parametrize(("channels", "hidden"), [(8, 1), (16, 1), (64, 4), (384, 24)])
def test_hidden_layer_is_a_sixteenth_and_never_empty(channels, hidden):
    assert ChannelGate(channels).perceptron[0].out_features == hidden

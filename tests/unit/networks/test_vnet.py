"""The V-Net: the size and cost of ProtoKD's, and the crops that batch normalisation cannot be trained on."""

import pytest
import torch
from unit.networks.cost import multiply_accumulates, parameters

from limbeck.errors import UsageError
from limbeck.networks.vnet import VNet


@pytest.mark.parametrize(("inputs", "millions", "billions"), [(1, 9.447, 62.9), (4, 9.448, 64.9)])
def test_size_and_cost_are_the_published_ones(inputs, millions, billions):
    with torch.device("meta"):
        network = VNet(inputs, 3)
    assert round(parameters(network) / 1e6, 3) == millions
    assert round(multiply_accumulates(network, 1, inputs, 96, 128, 128).total() / 1e9, 1) == billions


def test_a_patch_is_a_voxel_of_the_coarsest_level():
    with torch.device("meta"):
        coarsest = VNet(1, 3)(torch.empty(1, 1, 96, 128, 128)).encoded[-1]
    assert coarsest.shape == (1, 256, 6, 8, 8)


def test_training_on_one_voxel_is_refused_and_only_that():
    network = VNet(1, 3, 8)
    one, two = torch.randn(1, 1, 16, 16, 16), torch.randn(2, 1, 16, 16, 16)
    with pytest.raises(ValueError, match="more than 1 value"):
        network._encode(one)
    with pytest.raises(UsageError, match=r"16x16x16.* batch normalisation"):
        network(one)
    network(two)
    network(torch.randn(1, 1, 32, 16, 16))
    network.eval()
    network(one)

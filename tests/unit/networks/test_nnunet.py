"""nnU-Net's plain U-Net: its size and cost, its capped widths, and the one crop that it cannot compute."""

import pytest
import torch
from unit.networks.cost import multiply_accumulates, parameters

from limbeck.errors import UsageError
from limbeck.networks.nnunet import NnUNet


def test_size_and_cost_are_the_published_ones():
    with torch.device("meta"):
        network = NnUNet(4, 4)
    assert network.widths == (32, 64, 128, 256, 320, 320)
    assert round(parameters(network) / 1e6, 2) == 31.20
    # "About 480" in the specification.
    assert round(multiply_accumulates(network, 1, 4, 128, 128, 128).total() / 1e9, 1) == 482.8


def test_latent_is_the_published_one():
    with torch.device("meta"):
        latent = NnUNet(4, 4)(torch.empty(1, 4, 128, 128, 128)).encoded[-1]
    assert latent.shape == (1, 320, 4, 4, 4)


@pytest.mark.parametrize("training", [True, False])
def test_a_single_voxel_is_refused_and_only_that(training):
    network = NnUNet(1, 3, 8).train(training)
    cube = torch.randn(2, 1, 32, 32, 32)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        network._encode(cube)
    with pytest.raises(UsageError, match=r"32x32x32.* instance normalisation .* 64"):
        network(cube)
    assert network(torch.randn(1, 1, 32, 32, 64)).logits.isfinite().all()

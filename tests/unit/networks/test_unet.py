"""The U-Net: its published size and cost, its blocks, and the layouts that it may take."""

import pytest
import torch
from torch import nn
from unit.networks.cost import multiply_accumulates, parameters

from limbeck.networks.blocks import ResidualBlock, Upsampling
from limbeck.networks.unet import UNet


@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "millions", "billions"),
    [
        (1, 3, (160, 192, 128), 4.7029, 272.42),
        (1, 4, (160, 192, 128), 4.7029, 272.48),
        (4, 4, (160, 192, 128), 4.7042, 277.58),
        (1, 4, (128, 128, 128), 4.7029, 145.32),
    ],
)
def test_size_and_cost_are_the_published_ones(inputs, outputs, size, millions, billions):
    with torch.device("meta"):
        network = UNet(inputs, outputs)
    assert round(parameters(network) / 1e6, 4) == millions
    assert round(multiply_accumulates(network, 1, inputs, *size).total() / 1e9, 2) == billions


LAYOUTS = [torch.contiguous_format, torch.channels_last_3d]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_block_leaves_its_input_and_its_gradient_is_right(layout):
    torch.manual_seed(0)
    block = ResidualBlock(8).double()
    features = torch.randn(1, 8, 2, 3, 2, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    before = features.detach().clone()
    assert torch.autograd.gradcheck(block, (features,))
    assert torch.equal(features, before)


def test_a_crop_through_a_transposed_view_is_the_same_crop():
    """Strides that are neither layout, as of a patch cut from a volume or turned round."""
    torch.manual_seed(0)
    block = ResidualBlock(8)
    features = torch.randn(1, 8, 4, 6, 4).transpose(2, 4)
    assert torch.allclose(block(features), block(features.contiguous()), atol=1e-5)


@pytest.mark.parametrize("inputs", [1, 4])
def test_layout_changes_no_value_and_no_gradient(inputs):
    """The layout that is quick on a CPU at width 8 against the plain one, in float32, which has both."""
    torch.manual_seed(0)
    network = UNet(inputs, 3, 8)
    images = torch.randn(2, inputs, 8, 16, 8)

    def run():
        network.zero_grad()
        output = network(images)
        (output.logits.square().mean() + sum(tap.mean() for tap in output.encoded + output.decoded)).backward()
        return output, [parameter.grad.clone() for parameter in network.parameters()]

    quick, quick_gradients = run()
    network.channels_last = False
    plain, plain_gradients = run()
    assert all(tap.is_contiguous(memory_format=torch.channels_last_3d) for tap in quick.encoded + quick.decoded)
    assert all(tap.is_contiguous() for tap in plain.encoded + plain.decoded)
    assert torch.allclose(quick.logits, plain.logits, atol=1e-5)
    assert all(
        torch.allclose(*pair, rtol=1e-4, atol=1e-5) for pair in zip(quick_gradients, plain_gradients, strict=True)
    )


def test_block_starts_from_its_input():
    """A block whose last convolution is zero is the identity."""
    block = ResidualBlock(8)
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(block.conv2.bias)
    features = torch.randn(1, 8, 4, 4, 4)
    assert torch.equal(block(features), features)


def test_upsampling_repeats_every_voxel_and_adds_the_skip():
    step = Upsampling(16)
    features = torch.randn(1, 16, 2, 3, 2)
    skip = torch.randn(1, 8, 4, 6, 4)
    repeated = step.reduce(features)
    for axis in (2, 3, 4):
        repeated = repeated.repeat_interleave(2, axis)
    assert torch.equal(step(features, skip), repeated + skip)

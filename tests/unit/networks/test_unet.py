"""The U-Net: its published size and cost, its named features, and what it refuses."""

import pytest
import torch
from torch import nn

from limbeck.errors import UsageError
from limbeck.networks.blocks import ResidualBlock, Upsampling
from limbeck.networks.unet import UNet


def multiply_accumulates(network: nn.Module, *shape: int) -> int:
    """Convolution multiply-accumulates on an input of this shape, counted without computing any."""
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        total += output.numel() * layer.in_channels * layer.kernel_size[0] ** 3

    for layer in network.modules():
        if isinstance(layer, nn.Conv3d):
            layer.register_forward_hook(count)
    network(torch.empty(shape, device="meta"))
    return total


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
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert round(parameters / 1e6, 4) == millions
    assert round(multiply_accumulates(network, 1, inputs, *size) / 1e9, 2) == billions


@pytest.mark.parametrize("width", [8, 16, 24])
def test_features_are_named_by_level(width):
    with torch.device("meta"):
        output = UNet(2, 3, width)(torch.empty(2, 2, 16, 24, 8))
    assert output.logits.shape == (2, 3, 16, 24, 8)
    fine_to_coarse = [(2, width << level, 16 >> level, 24 >> level, 8 >> level) for level in range(4)]
    assert [tuple(tap.shape) for tap in output.encoded] == fine_to_coarse
    assert [tuple(tap.shape) for tap in output.decoded] == fine_to_coarse[2::-1]


def test_widths_name_the_channels_of_the_encoder():
    network = UNet(1, 3, 8)
    output = network(torch.zeros(1, 1, 8, 8, 8))
    assert network.widths == tuple(tap.shape[1] for tap in output.encoded)


@pytest.mark.parametrize("amp", [False, True])
def test_taps_are_what_the_layers_made(amp):
    """Every tap keeps the values that its layer returned: nothing downstream writes to it."""
    torch.manual_seed(0)
    network = UNet(1, 4, 8)
    seen: list[torch.Tensor] = []

    def keep(layer, inputs, output):
        seen.append(output.detach().clone())

    for level in network.encoder:
        level.register_forward_hook(keep)
    for block in network.decoder:
        block.register_forward_hook(keep)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        output = network(torch.randn(2, 1, 16, 16, 16))
    taps = output.encoded + output.decoded
    assert len(seen) == len(taps)
    assert all(torch.equal(tap, made) for tap, made in zip(taps, seen, strict=True))


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


def test_every_parameter_takes_part():
    torch.manual_seed(0)
    network = UNet(2, 3, 8)
    network(torch.randn(1, 2, 16, 16, 16)).logits.square().sum().backward()
    dead = [name for name, parameter in network.named_parameters() if not parameter.grad.any()]
    assert dead == []


def test_logits_are_not_activated():
    torch.manual_seed(0)
    network = UNet(1, 3, 8)
    nn.init.constant_(network.head.bias, 50.0)
    assert network(torch.randn(1, 1, 8, 8, 8)).logits.min() > 1.0


def test_dropout_silences_whole_channels_and_only_in_training():
    torch.manual_seed(0)
    network = UNet(1, 3, 16, dropout=0.5)
    images = torch.randn(4, 1, 8, 8, 8)
    first: list[torch.Tensor] = []
    network.dropout.register_forward_hook(lambda layer, inputs, output: first.append(output.detach()))
    network(images)
    silent = (first[0] == 0).flatten(2)
    assert torch.equal(silent.any(2), silent.all(2))
    assert 0 < silent.all(2).float().mean() < 1
    network.eval()
    assert torch.equal(network(images).logits, network(images).logits)


@pytest.mark.parametrize("size", [(12, 16, 16), (16, 16, 20), (0, 8, 8)])
def test_a_crop_that_does_not_fit_is_named(size):
    network = UNet(1, 3, 8)
    with pytest.raises(UsageError, match=rf"{'x'.join(map(str, size))}.* stride 8"):
        network(torch.zeros(1, 1, *size))


@pytest.mark.parametrize("settings", [{"width": 12}, {"width": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_wrong_settings_are_named(settings):
    (name,) = settings
    with pytest.raises(UsageError, match=name):
        UNet(1, 3, **settings)

"""What holds for every network: named features, halves, taps that stay as they were made, and clear refusals."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from limbeck.errors import UsageError
from limbeck.networks import NETWORKS
from limbeck.networks.network import Network
from limbeck.networks.resunet import ResUNet

every_network = pytest.mark.parametrize("kind", NETWORKS.values(), ids=NETWORKS)


def images(kind: type[Network], channels: int = 1, batch: int = 2) -> torch.Tensor:
    """The smallest crops that every network can be trained on."""
    return torch.randn(batch, channels, kind.stride, kind.stride, 2 * kind.stride)


@every_network
@pytest.mark.parametrize("width", [8, 16, 24])
def test_features_are_named_by_level(kind, width):
    with torch.device("meta"):
        network = kind(2, 3, width)
        output = network(images(kind, channels=2))
    side = kind.stride
    levels = [(2, channels, side >> i, side >> i, 2 * side >> i) for i, channels in enumerate(network.widths)]
    assert [tuple(tap.shape) for tap in output.encoded] == levels
    assert [tuple(tap.shape) for tap in output.decoded] == levels[-2::-1]
    assert tuple(tap.shape[1] for tap in output.decoded) == network.decoded_widths
    assert output.logits.shape == (2, 3, side, side, 2 * side)
    assert network.widths[0] == width
    assert kind.stride == 2 ** (len(network.widths) - 1)


@every_network
def test_halves_make_the_whole(kind):
    torch.manual_seed(0)
    network = kind(1, 3, 8)
    crop = images(kind)
    assert torch.equal(network.decode(network.encode(crop)).logits, network(crop).logits)


@every_network
def test_decoder_works_on_what_it_was_given(kind):
    """A method may change a level between the halves: it is passed on, and it reaches the logits."""
    torch.manual_seed(0)
    network = kind(1, 3, 8)
    encoded = network.encode(images(kind))
    for level in range(len(encoded)):
        changed = tuple(tap + torch.randn_like(tap) if at == level else tap for at, tap in enumerate(encoded))
        output = network.decode(changed)
        assert all(given is tap for given, tap in zip(changed, output.encoded, strict=True))
        assert not torch.equal(output.logits, network.decode(encoded).logits)


@every_network
@pytest.mark.parametrize("amp", [False, True])
def test_taps_are_what_the_layers_made(kind, amp):
    """Every tap keeps the values that its layer returned: nothing downstream writes to it."""
    torch.manual_seed(0)
    network = kind(1, 4, 8)
    seen: list[torch.Tensor] = []

    def keep(layer, inputs, output):
        seen.append(output.detach().clone())

    # The residual U-Net's finest level is its stem.
    stem = [network.stem] if kind is ResUNet else []
    for level in (*stem, *network.encoder, *network.decoder):
        level.register_forward_hook(keep)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        output = network(images(kind))
    taps = output.encoded + output.decoded
    assert len(seen) == len(taps)
    assert all(torch.equal(tap, made) for tap, made in zip(taps, seen, strict=True))


def idle_biases(network: nn.Module) -> set[str]:
    """Biases that a normalisation over single channels takes away again."""
    found = set()
    for name, layers in network.named_modules():
        if isinstance(layers, nn.Sequential):
            for at, (layer, after) in enumerate(pairwise(layers)):
                convolves = isinstance(layer, nn.Conv3d | nn.ConvTranspose3d) and layer.bias is not None
                if convolves and isinstance(after, nn.BatchNorm3d | nn.InstanceNorm3d):
                    found.add(f"{name}.{at}.bias")
    return found


@every_network
def test_every_parameter_takes_part(kind):
    """All but the biases that the published sizes count and that can have no effect."""
    torch.manual_seed(0)
    # At least two channels to a group: a group of one would make the bias before it idle as well.
    network = kind(2, 3, max(8, 2 * kind.multiple)).double()
    network(images(kind, channels=2).double()).logits.square().sum().backward()
    dead = {name for name, parameter in network.named_parameters() if parameter.grad.abs().max() < 1e-7}
    assert dead == idle_biases(network)


@every_network
def test_logits_are_not_activated(kind):
    torch.manual_seed(0)
    network = kind(1, 3, 8)
    nn.init.constant_(network.head.bias, 50.0)
    assert network(images(kind)).logits.min() > 1.0


@every_network
def test_dropout_silences_whole_channels_and_only_in_training(kind):
    torch.manual_seed(0)
    network = kind(1, 3, 16, dropout=0.5)
    crop = images(kind)
    first: list[torch.Tensor] = []
    network.dropout.register_forward_hook(lambda layer, inputs, output: first.append(output.detach()))
    network(crop)
    # A ReLU leaves a few zeros of its own.
    silent = (first[0] == 0).flatten(2).all(2)
    assert 0 < silent.float().mean() < 1
    network.eval()
    assert torch.equal(network(crop).logits, network(crop).logits)
    assert not (first[-1] == 0).flatten(2).all(2).any()


@every_network
@pytest.mark.parametrize("sides", [(1.5, 1, 1), (1, 1, 2.5), (0, 1, 1)])
def test_a_crop_that_does_not_fit_is_named(kind, sides):
    size = [int(side * kind.stride) for side in sides]
    network = kind(1, 3, 8)
    with pytest.raises(UsageError, match=rf"{'x'.join(map(str, size))}.* stride {kind.stride}"):
        network(torch.zeros(1, 1, *size))
    with pytest.raises(UsageError, match="stride"):
        network.encode(torch.zeros(1, 1, *size))


@every_network
@pytest.mark.parametrize(
    "settings",
    [{"width": 0}, {"width": -8}, {"dropout": 1.0}, {"dropout": -0.1}, {"in_channels": 0}, {"out_channels": 0}],
)
def test_wrong_settings_are_named(kind, settings):
    (name,) = settings
    with pytest.raises(UsageError, match=name):
        kind(**{"in_channels": 1, "out_channels": 3, **settings})


@pytest.mark.parametrize(("name", "width", "multiple"), [("unet", 12, 8), ("resunet", 6, 4)])
def test_a_width_that_its_groups_do_not_divide_is_named(name, width, multiple):
    with pytest.raises(UsageError, match=f"width {width}: expected a positive multiple of {multiple}"):
        NETWORKS[name](1, 3, width)

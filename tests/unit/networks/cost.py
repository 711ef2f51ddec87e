"""What a network costs: multiply-accumulates, counted on the meta device without computing any."""

from collections import Counter

import torch
from torch import nn


def multiply_accumulates(network: nn.Module, *shape: int) -> Counter:
    """Multiply-accumulates of one input, by kind of layer, of convolutions and transposed convolutions."""
    total: Counter = Counter()

    def count(layer, inputs, output):
        # Each weight is used once for every voxel on the side that the kernel is not spread over.
        taps = layer.in_channels * layer.out_channels * layer.kernel_size[0] ** 3
        side = inputs[0] if isinstance(layer, nn.ConvTranspose3d) else output
        total[type(layer)] += side[:, 0].numel() * taps

    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d)
    ]
    network.to("meta")(torch.empty(shape, device="meta"))
    for hook in hooks:
        hook.remove()
    return total


def parameters(*networks: nn.Module) -> int:
    """How many numbers the networks learn."""
    return sum(parameter.numel() for network in networks for parameter in network.parameters())

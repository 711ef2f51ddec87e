"""The V-Net of ProtoKD, which PKDR builds on."""

from __future__ import annotations

import math

from torch import Tensor, nn

from limbeck.errors import UsageError
from limbeck.networks.batchnorm import BatchNorm
from limbeck.networks.network import Network, Output, sides

ENCODER_DEPTHS = (1, 2, 3, 3, 3)  # convolutions of each level, fine to coarse
DECODER_DEPTHS = (3, 3, 2, 1)  # coarse to fine


class VNet(Network):
    """The V-Net of ProtoKD, for PKDR (Wang R. et al., 2024; papers.md 2.2).

    Stacks of `3x3x3` convolutions, batch normalisation and ReLU; `2x2x2` convolutions with stride 2 down, transposed
    ones up, each with the same after it; skips are added. With width `w` the encoder gives `w`, `2w`, `4w`, `8w` and
    `16w` channels, the decoder `8w` to `w`. PKDR states none of this; ProtoKD, whose numbers it quotes, published it.

    Width 16 is ProtoKD's: 9.447 million parameters, 62.9 billion multiply-accumulates on `96x128x128`. Only biases on
    the steps between levels, idle before their normalisation, and none in the stacks give that size.
    """

    stride = 16

    def __init__(self, in_channels: int, out_channels: int, width: int = 16, dropout: float = 0.0) -> None:
        """Make the network; the arguments are `Network`'s."""
        super().__init__(in_channels, out_channels, width, dropout)
        self.widths = tuple(width << level for level in range(5))
        self.encoder = nn.ModuleList(
            _stack(depth, in_channels if level == 0 else channels, channels)
            for level, (depth, channels) in enumerate(zip(ENCODER_DEPTHS, self.widths, strict=True))
        )
        self.downsampling = nn.ModuleList(
            nn.Sequential(nn.Conv3d(fine, 2 * fine, 2, stride=2), *_normalised_relu(2 * fine))
            for fine in self.widths[:-1]
        )
        self.upsampling = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose3d(2 * fine, fine, 2, stride=2), *_normalised_relu(fine))
            for fine in self.decoded_widths
        )
        self.decoder = nn.ModuleList(
            _stack(depth, channels, channels)
            for depth, channels in zip(DECODER_DEPTHS, self.decoded_widths, strict=True)
        )
        self.head = nn.Conv3d(width, out_channels, 1)

    def _encode(self, images: Tensor) -> tuple[Tensor, ...]:
        # After the whole first unit: a normalisation would lift silenced channels off zero again.
        encoded = [self.dropout(self.encoder[0](images))]
        for down, level in zip(self.downsampling, list(self.encoder)[1:], strict=True):
            encoded.append(level(down(encoded[-1])))
        return tuple(encoded)

    def decode(self, encoded: tuple[Tensor, ...]) -> Output:
        """Five encoder levels to logits and four decoder levels."""
        decoded: list[Tensor] = []
        features = encoded[-1]
        for up, level, skip in zip(self.upsampling, self.decoder, encoded[-2::-1], strict=True):
            features = level(up(features) + skip)
            decoded.append(features)
        return Output(self.head(features), tuple(encoded), tuple(decoded))

    def _check(self, images: Tensor) -> None:
        super()._check(images)
        if self.training and images.shape[0] * math.prod(images.shape[2:]) == self.stride**3:
            raise UsageError(
                f"one crop of {sides(images.shape[2:])}: batch normalisation cannot be trained on the single voxel "
                f"that is left at the network's stride {self.stride}; take a larger crop or several"
            )


def _normalised_relu(channels: int) -> tuple[nn.Module, nn.Module]:
    # In place is safe: nothing else holds what the normalisation made, and its gradient reads its input.
    return BatchNorm(channels), nn.ReLU(inplace=True)


def _stack(depth: int, in_channels: int, channels: int) -> nn.Sequential:
    """`depth` times a `3x3x3` convolution, batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for reads in (in_channels, *[channels] * (depth - 1)):
        layers += [nn.Conv3d(reads, channels, 3, padding=1, bias=False), *_normalised_relu(channels)]
    return nn.Sequential(*layers)

"""The plain U-Net of nnU-Net, which CHOI builds on."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from limbeck.errors import UsageError
from limbeck.networks.network import Network, Output, sides

LEVELS = 6
MOST = 10  # the coarse levels have this times the width and no more: 320 channels at width 32


class NnUNet(Network):
    """The plain U-Net that nnU-Net plans for `128x128x128`, for CHOI (Choi et al., 2023; papers.md 5.2).

    Each level is two `3x3x3` convolutions, each with instance normalisation and LeakyReLU; the first of a level has
    stride 2. Transposed `2x2x2` convolutions lead up; skips are concatenated. With width `w` the encoder gives `w`,
    `2w`, `4w`, `8w`, `10w` and `10w` channels, the decoder `10w` to `w`.

    Width 32 is nnU-Net's: 31.20 million parameters, 483 billion multiply-accumulates on `128x128x128`. Convolutions
    keep nnU-Net's biases, though the normalisation after them makes them idle: the size counts them.
    """

    stride = 2 ** (LEVELS - 1)

    def __init__(self, in_channels: int, out_channels: int, width: int = 32, dropout: float = 0.0) -> None:
        """Make the network; the arguments are `Network`'s."""
        super().__init__(in_channels, out_channels, width, dropout)
        self.widths = tuple(width * min(2**level, MOST) for level in range(LEVELS))
        self.stem = _unit(in_channels, width)
        self.encoder = nn.ModuleList([_unit(width, width)])
        self.encoder.extend(
            nn.Sequential(_unit(fine, coarse, stride=2), _unit(coarse, coarse))
            for fine, coarse in pairwise(self.widths)
        )
        self.upsampling = nn.ModuleList(
            nn.ConvTranspose3d(coarse, fine, 2, stride=2) for coarse, fine in pairwise(self.widths[::-1])
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(_unit(2 * channels, channels), _unit(channels, channels)) for channels in self.decoded_widths
        )
        self.head = nn.Conv3d(width, out_channels, 1)

    def _encode(self, images: Tensor) -> tuple[Tensor, ...]:
        # After the whole first unit: a normalisation would lift silenced channels off zero again.
        features = self.dropout(self.stem(images))
        encoded: list[Tensor] = []
        for level in self.encoder:
            features = level(features)
            encoded.append(features)
        return tuple(encoded)

    def decode(self, encoded: tuple[Tensor, ...]) -> Output:
        """Six encoder levels to logits and five decoder levels."""
        decoded: list[Tensor] = []
        features = encoded[-1]
        for up, level, skip in zip(self.upsampling, self.decoder, encoded[-2::-1], strict=True):
            features = level(torch.cat((up(features), skip), dim=1))
            decoded.append(features)
        return Output(self.head(features), tuple(encoded), tuple(decoded))

    def _check(self, images: Tensor) -> None:
        super()._check(images)
        if all(side == self.stride for side in images.shape[2:]):
            raise UsageError(
                f"crop size {sides(images.shape[2:])}: instance normalisation has nothing to compare with the single "
                f"voxel that is left at the network's stride {self.stride}; at least one side must be {2 * self.stride}"
            )


def _unit(in_channels: int, channels: int, stride: int = 1) -> nn.Sequential:
    """A `3x3x3` convolution, instance normalisation with scale and shift, and LeakyReLU."""
    return nn.Sequential(
        nn.Conv3d(in_channels, channels, 3, stride=stride, padding=1),
        nn.InstanceNorm3d(channels, affine=True),
        # In place is safe: nothing else holds what the normalisation made, and its gradient reads its input.
        nn.LeakyReLU(0.01, inplace=True),
    )

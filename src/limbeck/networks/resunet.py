"""The residual U-Net with channel gates of MTCM-KD."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.networks.gate import ChannelGate
from limbeck.networks.network import Network, Output


class ResUNet(Network):
    """The residual U-Net with channel gates of MTCM-KD (Ahmad et al., 2024; papers.md 4.2, from the authors' code).

    With width `w` the encoder gives x1 `[B,w,D,H,W]`, x2 `2w`, x3 `4w` and the bridge `8w` at an eighth of the size;
    the decoder gives x6 `4w`, x8 `2w` (half the size: where MTCM-KD fuses) and at last `w` channels. On the way up the
    skip is concatenated and the whole gated.

    Width 32 is the authors': with two deep supervision heads, on x6 and x8, 9,459,478 parameters; 873.7 billion
    multiply-accumulates in convolutions and 15.0 in transposed ones on `128x128x128`.
    """

    stride = 8
    multiple = 4

    def __init__(self, in_channels: int, out_channels: int, width: int = 32, dropout: float = 0.0) -> None:
        """Make the network; the arguments are `Network`'s, the width a multiple of 4.

        The weights are PyTorch's; MTCM-KD draws the student's convolutions anew.
        """
        super().__init__(in_channels, out_channels, width, dropout)
        self.widths = (width, 2 * width, 4 * width, 8 * width)
        self.stem = Stem(in_channels, width)
        self.encoder = nn.ModuleList(ResidualStep(fine, coarse, stride=2) for fine, coarse in pairwise(self.widths))
        self.decoder = nn.ModuleList(GatedUpsampling(coarse, fine) for coarse, fine in pairwise(self.widths[::-1]))
        self.head = nn.Conv3d(width, out_channels, 1)

    def _encode(self, images: Tensor) -> tuple[Tensor, ...]:
        encoded = [self.dropout(self.stem(images))]
        for level in self.encoder:
            encoded.append(level(encoded[-1]))
        return tuple(encoded)

    def decode(self, encoded: tuple[Tensor, ...]) -> Output:
        """x1 to the bridge, to logits; the decoded features are x6, x8 and the last."""
        decoded: list[Tensor] = []
        features = encoded[-1]
        for level, skip in zip(self.decoder, encoded[-2::-1], strict=True):
            features = level(features, skip)
            decoded.append(features)
        return Output(self.head(features), tuple(encoded), tuple(decoded))


class Stem(nn.Module):
    """Two `3x3x3` convolutions with instance normalisation and LeakyReLU between them, beside a third."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv3d(in_channels, channels, 3, padding=1),
            nn.InstanceNorm3d(channels),
            nn.LeakyReLU(inplace=True),
            nn.Conv3d(channels, channels, 3, padding=1),
        )
        self.skip = nn.Conv3d(in_channels, channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images `[B,in,D,H,W]` to x1 `[B,C,D,H,W]`."""
        added: Tensor = self.residual(images) + self.skip(images)
        return added


class ResidualStep(nn.Module):
    """A pre-activation residual block from one width to another, at full or half the size.

    Twice group normalisation, LeakyReLU and a `3x3x3` convolution; the other way round is a `3x3x3` convolution and
    group normalisation. The first convolution of each way has the stride.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.norm1 = _group_norm(in_channels)
        self.conv1 = nn.Conv3d(in_channels, channels, 3, stride=stride, padding=1)
        self.norm2 = _group_norm(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.skip = nn.Sequential(nn.Conv3d(in_channels, channels, 3, stride=stride, padding=1), _group_norm(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Features `[B,in,D,H,W]` to `[B,C,*]`; the input is left as it was."""
        # In place is safe: nothing else holds what the normalisation made, and its gradient reads its input.
        hidden = self.conv1(F.leaky_relu(self.norm1(features), inplace=True))
        residual = self.conv2(F.leaky_relu(self.norm2(hidden), inplace=True))
        added: Tensor = residual + self.skip(features)
        return added


class GatedUpsampling(nn.Module):
    """A step up the decoder: double the size, concatenate the skip, gate the channels, and a residual block."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(coarse, coarse, 2, stride=2)
        self.gate = ChannelGate(coarse + fine)
        self.block = ResidualStep(coarse + fine, fine)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Features `[B,coarse,D,H,W]` and skip `[B,fine,2D,2H,2W]` to `[B,fine,2D,2H,2W]`."""
        merged: Tensor = self.block(self.gate(torch.cat((self.up(features), skip), dim=1)))
        return merged


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(6 if channels % 6 == 0 else 4, channels)

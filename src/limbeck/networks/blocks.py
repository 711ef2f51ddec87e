"""The parts that a residual U-Net is made of."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 8


class ResidualBlock(nn.Module):
    """A pre-activation residual block that keeps the number of channels (papers.md 0.2, after Myronenko 2018).

    Twice group normalisation in 8 groups, ReLU and a `3x3x3` convolution with bias; then the input is added.
    """

    def __init__(self, channels: int) -> None:
        """Make a block for `channels`, a multiple of 8."""
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Features `[B,C,D,H,W]` to features of the same shape; the input is left as it was."""
        # In place is safe here alone: nothing but the ReLU holds what the normalisation has just made, and the
        # normalisation's gradient reads its input, not its output. `features` may be a tap: it is never written to.
        hidden = self.conv1(F.relu(self.norm1(features), inplace=True))
        residual: Tensor = self.conv2(F.relu(self.norm2(hidden), inplace=True))
        return residual + features


class Upsampling(nn.Module):
    """A step up the decoder: halve the channels, double the size by nearest neighbours, add the skip connection."""

    def __init__(self, channels: int) -> None:
        """Make a step from `channels` to `channels / 2`."""
        super().__init__()
        self.reduce = nn.Conv3d(channels, channels // 2, 1)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Features `[B,C,D,H,W]` and skip `[B,C/2,2D,2H,2W]` to the sum at the size of the skip."""
        upsampled = F.interpolate(self.reduce(features), scale_factor=2.0, mode="nearest")
        return upsampled + skip

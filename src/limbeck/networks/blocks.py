"""The parts that a residual U-Net is made of."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 8


class _Layout(torch.autograd.Function):
    """The same values in another memory format; the gradient goes back in the format that it came from."""

    @staticmethod
    def forward(context: Any, features: Tensor, there: torch.memory_format, back: torch.memory_format) -> Tensor:
        context.back = back
        return features.contiguous(memory_format=there)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient.contiguous(memory_format=context.back), None, None


def _laid_out(features: Tensor, there: torch.memory_format, back: torch.memory_format) -> Tensor:
    """The features in the format `there`, their gradient in the format `back`; torch.compile decides by itself."""
    if torch.compiler.is_compiling():
        # It lays features out as it likes, and with torch 2.13 lost gradients on their way through a move of ours.
        return features
    moved: Tensor = _Layout.apply(features, there, back)  # type: ignore[no-untyped-call]
    return moved


def channels_last(features: Tensor) -> Tensor:
    """Features `[B,C,D,H,W]`, the same values, with channels last in memory."""
    if features.is_contiguous(memory_format=torch.channels_last_3d):
        return features
    return _laid_out(features, torch.channels_last_3d, torch.contiguous_format)


def is_channels_last(features: Tensor) -> bool:
    """Whether features lie with channels last, and in no other way."""
    return features.is_contiguous(memory_format=torch.channels_last_3d) and not features.is_contiguous()


def normalised_relu(norm: nn.GroupNorm, features: Tensor) -> Tensor:
    """Group normalisation and ReLU of `[B,C,D,H,W]`, in the features' layout; the features are left as they were.

    On a CPU the normalisation's gradient with channels last takes up to seventy times as long as without, more than
    the convolution beside it. Two copies there and two back cost far less.
    """
    if features.device.type == "cpu" and is_channels_last(features):
        plain = _laid_out(features, torch.contiguous_format, torch.channels_last_3d)
        normalised = _laid_out(norm(plain), torch.channels_last_3d, torch.contiguous_format)
    else:
        normalised = norm(features)
    # In place is safe here: nothing else holds what the normalisation has just made, and the normalisation's gradient
    # reads its input, not its output.
    return F.relu(normalised, inplace=True)


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
        hidden = self.conv1(normalised_relu(self.norm1, features))
        residual: Tensor = self.conv2(normalised_relu(self.norm2, hidden))
        return residual + features


class Upsampling(nn.Module):
    """A step up the decoder: halve the channels, double the size by nearest neighbours, add the skip connection."""

    def __init__(self, channels: int) -> None:
        """Make a step from `channels` to `channels / 2`."""
        super().__init__()
        self.reduce = nn.Conv3d(channels, channels // 2, 1)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Features `[B,C,D,H,W]` and skip `[B,C/2,2D,2H,2W]` to the sum at the size of the skip."""
        reduced = self.reduce(features)
        if is_channels_last(skip):
            # With one thread torch hands back a 1x1x1 convolution's float32 in another layout than it was given.
            reduced = channels_last(reduced)
        upsampled = F.interpolate(reduced, scale_factor=2.0, mode="nearest")
        return upsampled + skip

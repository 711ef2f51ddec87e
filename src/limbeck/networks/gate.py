"""The channel gate that MTCM-KD puts on its skips and on its fusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

REDUCTION = 16


class ChannelGate(nn.Module):
    """The channel part of CBAM (papers.md 4.2): each channel times a number between 0 and 1 that all of them decide.

    The global average and the global maximum of the channels go through one perceptron `C -> C/16 -> C`; the sigmoid
    of the two outcomes' sum is the scale.
    """

    def __init__(self, channels: int) -> None:
        """Make a gate for `channels`; the hidden layer has at least one."""
        super().__init__()
        hidden = max(1, channels // REDUCTION)
        self.perceptron = nn.Sequential(nn.Linear(channels, hidden), nn.LeakyReLU(), nn.Linear(hidden, channels))

    def forward(self, features: Tensor) -> Tensor:
        """Features `[B,C,D,H,W]` to features of the same shape; the input is left as it was."""
        mean = self.perceptron(features.mean((2, 3, 4)))
        maximum = self.perceptron(features.amax((2, 3, 4)))
        return features * torch.sigmoid(mean + maximum)[:, :, None, None, None]

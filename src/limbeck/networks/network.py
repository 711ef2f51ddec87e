"""What every network takes and gives: crops in, logits and named features out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from limbeck.errors import UsageError


@dataclass(frozen=True)
class Output:
    """What a network gives: logits and named features, none of them activated by an output function.

    Attributes:
        logits: `[B,C,D,H,W]` at the input's size.
        encoded: encoder features, fine to coarse; each level has half the size of the one before.
        decoded: decoder features, coarse to fine; the last has the input's size and feeds the logits.
    """

    logits: Tensor
    encoded: tuple[Tensor, ...]
    decoded: tuple[Tensor, ...]


class Network(nn.Module, ABC):
    """An encoder that halves the crop level by level, and a decoder that comes back by the skips.

    The halves are callable by themselves, so that a method can put something between them. No network writes to
    features that it has handed out (papers.md 6.3).

    Attributes:
        stride: every side of a crop must be a multiple of this, the encoder's total stride.
        multiple: the width must be a multiple of this.
        widths: channels of the encoder's levels, fine to coarse; level `i` has the crop's size divided by `2^i`.
    """

    stride: ClassVar[int]
    multiple: ClassVar[int] = 1
    widths: tuple[int, ...]

    def __init__(self, in_channels: int, out_channels: int, width: int, dropout: float = 0.0) -> None:
        """Make the network.

        Args:
            in_channels: sequences that it reads.
            out_channels: logits by voxel.
            width: channels at full size; each network's default is the published one.
            dropout: share of whole channels set to zero after the first convolutions, in training only. RIRN's text
                says 0.2, the other papers none.

        Raises:
            UsageError: a number of channels or the width is none, or the dropout lies outside `[0, 1)`.
        """
        super().__init__()
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels < 1:
                raise UsageError(f"{name} {channels}: expected at least 1")
        if width < 1 or width % self.multiple:
            raise UsageError(f"network width {width}: expected a positive multiple of {self.multiple}, for example 16")
        if not 0.0 <= dropout < 1.0:
            raise UsageError(f"dropout {dropout}: expected at least 0 and below 1")
        self.dropout = nn.Dropout3d(dropout)

    @property
    def decoded_widths(self) -> tuple[int, ...]:
        """Channels of the decoder's levels, coarse to fine: the encoder's, without the coarsest."""
        return self.widths[-2::-1]

    def forward(self, images: Tensor) -> Output:
        """Images `[B,in,D,H,W]` to logits and features.

        Raises:
            UsageError: a side is no multiple of the stride.
        """
        return self.decode(self.encode(images))

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images `[B,in,D,H,W]` to the encoder's features, fine to coarse.

        Raises:
            UsageError: a side is no multiple of the stride.
        """
        self._check(images)
        return self._encode(images)

    @abstractmethod
    def decode(self, encoded: tuple[Tensor, ...]) -> Output:
        """The encoder's features, fine to coarse, to logits; `Output.encoded` is what was given here."""

    @abstractmethod
    def _encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """As `encode`, on a crop that fits."""

    def _check(self, images: Tensor) -> None:
        size = images.shape[2:]
        if any(side % self.stride or side == 0 for side in size):
            raise UsageError(
                f"crop size {sides(size)}: every side must be a multiple of the network's stride {self.stride}"
            )


def sides(size: torch.Size) -> str:
    """A crop's sides as errors name them: 96x128x128."""
    return "x".join(str(side) for side in size)

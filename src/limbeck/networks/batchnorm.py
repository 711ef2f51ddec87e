"""Batch normalisation over the batch of all processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck import ranks


class BatchNorm(nn.BatchNorm3d):
    """torch's, but that in training the batch is that of all processes together.

    torch's own synchronised one wants a GPU.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Features `[B,C,D,H,W]` to features of the same shape and type."""
        if ranks.world() == 1 or not self.training:
            return super().forward(features)
        return self._together(features)

    def _together(self, features: Tensor) -> Tensor:
        wide = features.to(torch.promote_types(features.dtype, torch.float32))
        over, shape = (0, 2, 3, 4), (1, -1, 1, 1, 1)
        count = ranks.world() * wide.numel() // wide.shape[1]
        (total,) = ranks.summed(wide.sum(over))
        centred = wide - (total / count).view(shape)
        (squares,) = ranks.summed(centred.square().sum(over))
        variance = squares / count
        self._remember(total.detach() / count, squares.detach() / max(count - 1, 1))
        normalised = centred * (variance + self.eps).rsqrt().view(shape)
        return (normalised * self.weight.view(shape) + self.bias.view(shape)).to(features.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as torch does: the variance without bias."""
        assert self.running_mean is not None, "made with running statistics"
        assert self.running_var is not None, "made with running statistics"
        assert self.num_batches_tracked is not None, "made with running statistics"
        assert self.momentum is not None, "made with a momentum"
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)

"""The blocks whose attention RIRN compares between teacher and student: within a network, and beside one."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NonLocal(nn.Module):
    """A non-local block (RIRN, papers.md 3.2; embedded Gaussian, after Wang X. et al., 2018).

    `f + W(softmax(q k^T) v)` with queries, keys and values from three `1x1x1` convolutions to half the channels, over
    all positions, without scale. `W` starts at zero, so the block starts as the identity and learns nothing else
    before `W`; there is no normalisation.

    With 128 channels it adds 33,088 parameters, biases among them: RIRN's 4.73 million. The key's bias is one of them
    though it changes nothing: it adds the same to all of a query's products.
    """

    def __init__(self, channels: int) -> None:
        """Make a block for `channels`, an even number."""
        super().__init__()
        inner = channels // 2
        self.query = nn.Conv3d(channels, inner, 1)
        self.key = nn.Conv3d(channels, inner, 1)
        self.value = nn.Conv3d(channels, inner, 1)
        self.project = nn.Conv3d(inner, channels, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features `[B,C,*]`, left as they were, to features of the same shape, queries and keys `[B,C/2,*]`."""
        queries, keys, values = self.query(features), self.key(features), self.value(features)
        attended = attention(queries, keys, values).to(values.dtype)
        return features + self.project(attended), queries, keys


class Relation(nn.Module):
    """Queries and keys of features that pass by unchanged (RIRN, papers.md 3.2).

    Two `1x1x1` convolutions to as many channels. With 128 they add 33,024 parameters: RIRN's 4.73 million as well.
    """

    def __init__(self, channels: int) -> None:
        """Make them for `channels`."""
        super().__init__()
        self.query = nn.Conv3d(channels, channels, 1)
        self.key = nn.Conv3d(channels, channels, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features `[B,C,*]` to themselves, queries and keys `[B,C,*]`."""
        return features, self.query(features), self.key(features)


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Values `[B,C,*]` at each position, weighted by the softmax over all positions of its query times their keys.

    In float32 at least, whatever autocast says: without a scale the products grow large. The `N x N` weights are never
    held whole where PyTorch has a fused kernel; at 7,680 positions they would be 225 MiB.
    """
    wide = torch.promote_types(queries.dtype, torch.float32)
    # The fused kernels want [B, heads, N, C] with the channels next to one another.
    query, key, value = (
        part.flatten(2).transpose(1, 2).unsqueeze(1).to(wide).contiguous() for part in (queries, keys, values)
    )
    with no_autocast(queries.device.type):
        weighted = F.scaled_dot_product_attention(query, key, value, scale=1.0)
    return weighted.squeeze(1).transpose(1, 2).reshape(values.shape)


def no_autocast(device: str) -> AbstractContextManager[object]:
    """Inside it, operations keep the precision of what they are given."""
    # The meta device knows no autocast, not even off.
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()

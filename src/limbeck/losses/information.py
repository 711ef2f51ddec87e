"""A loss on the correlation between a student's and a teacher's channels."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.losses.precision import full_precision
from limbeck.ranks import summed, world

VARIANCE_FLOOR = 1e-5  # a dead channel correlates with nothing, and does not divide by 0


@full_precision
def barlow_twins(student: Tensor, teacher: Tensor, redundancy: float = 0.0051) -> Tensor:
    """Channels should correlate with their twins and with no other: scalar (Zbontar et al. 2021; CHOI 5.2).

    `sum_i (1 - c_ii)^2 + redundancy * sum_{i != j} c_ij^2`, where `c` is the cross-correlation of standardised
    channels over the samples. Each position of each crop is a sample: over pooled vectors of a batch of 2 every
    correlation would be 1 or -1.

    Args:
        student: features `[B,C,*]`.
        teacher: features `[B,C,*]`, taken as constant.
        redundancy: weight of the pairs of different channels; 0.0051 is the official code's.
    """
    ours, theirs = _standardised(student), _standardised(teacher.detach())
    (products,) = summed(ours @ theirs.T)
    correlation = products / (world() * ours.shape[1])
    own = correlation.diagonal()
    others = correlation - torch.diag(own)
    return (1 - own).square().sum() + redundancy * others.square().sum()


def _standardised(features: Tensor) -> Tensor:
    """Features `[B,C,*]` to `[C,samples]`, each channel with mean 0 and (biased) variance 1."""
    samples = features.transpose(0, 1).flatten(1)
    variance, mean = torch.var_mean(samples, dim=1, correction=0, keepdim=True) if world() == 1 else _moments(samples)
    return (samples - mean) / (variance + VARIANCE_FLOOR).sqrt()


def _moments(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean `[C,1]` of the samples `[C,N]` of all processes."""
    count = world() * samples.shape[1]
    (total,) = summed(samples.sum(1, keepdim=True))
    mean = total / count
    (squares,) = summed((samples - mean).square().sum(1, keepdim=True))
    return squares / count, mean

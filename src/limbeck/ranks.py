"""What several processes of one training tell each other: sums, means, and what they agree on.

Alone, everything here gives back what it was given. Together, each process holds a part of the batch and the mean of
its own losses, and gradients are averaged: a mean over samples of equal weight needs nothing more. Whatever else is
computed from a batch (a ratio of sums, a correlation, a count) has to take its sums by `summed`.

Every process has to call the same functions here in the same order, so no call may depend on a process's own data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# Elements of gradients that are averaged at once: large enough to keep a network busy, small beside the gradients.
_BUCKET = 2**23


class _Group:
    """Set by `begin` alone: a program that uses `torch.distributed` by itself keeps its losses to itself."""

    rank, processes = 0, 1


def begin() -> None:
    """From now on the processes of torch's default group train one run together."""
    _Group.rank, _Group.processes = dist.get_rank(), dist.get_world_size()


def end() -> None:
    """From now on this process is alone, and the group that it began is gone; nothing happens to one that is alone.

    For processes that have come to their end together: while one breaks, another may still wait for its numbers.
    """
    if world() > 1:
        _Group.rank, _Group.processes = 0, 1
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process, from 0."""
    return _Group.rank


def world() -> int:
    """How many processes there are."""
    return _Group.processes


def first() -> bool:
    """Whether this is the process that writes."""
    return _Group.rank == 0


class _Sum(torch.autograd.Function):
    """The sum over all processes; the gradients of all of them, which are for their own losses, come back summed."""

    @staticmethod
    def forward(context: Any, part: Tensor) -> Tensor:
        del context
        return _reduced(part)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        del context
        return _reduced(gradient)


def _reduced(part: Tensor) -> Tensor:
    total = part.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def summed(*parts: Tensor) -> tuple[Tensor, ...]:
    """Each tensor's sum over all processes, with a gradient; themselves in one process.

    Args:
        parts: of any shapes and one floating type; they travel together.
    """
    if world() == 1:
        return parts
    flat: Tensor = _Sum.apply(torch.cat([part.reshape(-1) for part in parts]))  # type: ignore[no-untyped-call]
    pieces = torch.split(flat, [part.numel() for part in parts])
    return tuple(piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True))


def average(tensors: Sequence[Tensor]) -> None:
    """Make each tensor its mean over all processes, in place; they are of one floating type."""
    if world() == 1:
        return
    bucket: list[Tensor] = []
    for index, tensor in enumerate(tensors):
        bucket.append(tensor)
        if index + 1 == len(tensors) or sum(map(Tensor.numel, bucket)) >= _BUCKET:
            flat = torch.cat([member.reshape(-1) for member in bucket])
            dist.all_reduce(flat)
            flat /= world()
            for member, piece in zip(bucket, torch.split(flat, [each.numel() for each in bucket]), strict=True):
                member.copy_(piece.view(member.shape))
            bucket = []


def averaged(values: Mapping[str, float]) -> dict[str, float]:
    """Each number's mean over all processes; not finite if one of them is not."""
    if world() == 1:
        return dict(values)
    total = torch.tensor(list(values.values()), dtype=torch.float64)
    dist.all_reduce(total)
    return dict(zip(values, (total / world()).tolist(), strict=True))


def agreed(number: int) -> int:
    """The largest number that any process has, once all have come here."""
    if world() == 1:
        return number
    found = torch.tensor(number)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found)


def gathered(tensor: Tensor) -> list[Tensor]:
    """The tensors of all processes by rank, which have one shape and lie on the CPU."""
    if world() == 1:
        return [tensor]
    parts = [torch.empty_like(tensor) for _ in range(world())]
    dist.all_gather(parts, tensor)
    return parts


def told(text: str) -> list[str]:
    """The texts of all processes by rank."""
    if world() == 1:
        return [text]
    content = text.encode()
    longest = agreed(len(content))
    padded = torch.frombuffer(bytearray(content.ljust(longest, b"\0")), dtype=torch.uint8)
    return [bytes(part.tolist()).rstrip(b"\0").decode() for part in gathered(padded)]

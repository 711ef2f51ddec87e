"""A toy patient and methods built on it, small enough that every promise can be tested on every method."""

from __future__ import annotations

from typing import Any

import torch

from limbeck.anatomy import Label, Modality, Subset
from limbeck.batch import Batch, View
from limbeck.methods import build, find
from limbeck.methods.base import Context, Method, Progress

SIZE = 16
PROGRESS = Progress(step=0, steps=10, epoch=0, epochs=2)


def labels(count: int = 2) -> torch.Tensor:
    """Nested boxes: oedema around an enhancing shell around a necrotic core, at another place in each sample."""
    result = torch.zeros(count, SIZE, SIZE, SIZE, dtype=torch.long)
    for index in range(count):
        shift = index % 3
        result[index, 2 + shift : 14, 2:13, 3:14] = Label.OEDEMA
        result[index, 4 + shift : 12, 4:12, 4:12] = Label.ENHANCING
        result[index, 6 + shift : 10, 6:10, 6:10] = Label.NECROTIC_CORE
    return result


def batch(subsets: tuple[Subset, ...], seed: int = 0, count: int = 2) -> Batch:
    """Images in which every label has its own mean in every sequence, plus noise."""
    generator = torch.Generator().manual_seed(seed)
    truth = labels(count)
    means = torch.randn(len(Modality), 4, generator=torch.Generator().manual_seed(7)) * 2
    images = means[:, truth].movedim(0, 1)
    images = images + 0.3 * torch.randn(images.shape, generator=generator)
    chosen = [subsets[(seed + index) % len(subsets)].mask() for index in range(count)]
    view = View.of(images, torch.tensor(chosen))
    present = torch.ones(count, len(Modality), dtype=torch.bool)
    return Batch(view, images, present, truth, tuple(f"case{index}" for index in range(count)))


def subsets_of(name: str) -> tuple[Subset, ...]:
    """What a method serves in these tests: a generalist all 15, a specialist FLAIR."""
    return Subset.every() if find(name).generalist else (Subset.parse("flair"),)


def make(name: str, seed: int = 0, teachers: bool = True, **settings: Any) -> Method[Any]:
    """A small method, with fresh teachers if it needs them."""
    kind = find(name)
    frozen: dict[str, Method[Any]] = {}
    if teachers:
        for role, provider in kind.needs.items():
            torch.manual_seed(99)
            whole = Context((Subset.parse("all"),))
            frozen[role] = build(provider, find(provider).Settings(width=8), whole)
    torch.manual_seed(seed)
    return build(name, kind.Settings(width=8, **settings), Context(subsets_of(name), teachers=frozen))

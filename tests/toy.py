"""A toy patient and methods built on it, small enough that every promise can be tested on every method."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from limbeck.anatomy import Label, Modality, Subset
from limbeck.batch import Batch, View
from limbeck.methods import build, find
from limbeck.methods.base import Context, Method, Progress

SIZE = 16
# Past the first epoch, in which MTCM-KD does not distil yet.
PROGRESS = Progress(step=5, steps=10, epoch=1, epochs=2)


def labels(count: int = 2, size: int = SIZE) -> torch.Tensor:
    """Nested boxes: oedema around an enhancing shell around a necrotic core, at another place in each sample.

    They fill half of the last axis, so that some patches hold no tumour.
    """
    result = torch.zeros(count, size, size, size, dtype=torch.long)
    for index in range(count):
        shift = index % 3
        result[index, 2 + shift : 14, 2:13, 2:8] = Label.OEDEMA
        result[index, 4 + shift : 12, 4:12, 3:7] = Label.ENHANCING
        result[index, 6 + shift : 10, 6:10, 4:6] = Label.NECROTIC_CORE
    return result


def batch(subsets: tuple[Subset, ...], seed: int = 0, count: int = 2, size: int = SIZE) -> Batch:
    """Images in which every label has its own mean in every sequence, plus noise."""
    generator = torch.Generator().manual_seed(seed)
    truth = labels(count, size)
    means = torch.randn(len(Modality), 4, generator=torch.Generator().manual_seed(7)) * 2
    images = means[:, truth].movedim(0, 1)
    images = images + 0.3 * torch.randn(images.shape, generator=generator)
    chosen = [subsets[(seed + index) % len(subsets)].mask() for index in range(count)]
    view = View.of(images, torch.tensor(chosen))
    present = torch.ones(count, len(Modality), dtype=torch.bool)
    return Batch(view, images, present, truth, tuple(f"case{index}" for index in range(count)))


def crop(data: Batch, size: tuple[int, int, int]) -> Batch:
    """The corner of a batch."""
    depth, height, width = size
    view = View(data.view.images[..., :depth, :height, :width], data.view.available, data.view.origin)
    return dataclasses.replace(
        data,
        view=view,
        complete=data.complete[..., :depth, :height, :width],
        labels=data.labels[..., :depth, :height, :width],
    )


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
            whole = Context(Subset.every() if find(provider).generalist else (Subset.parse("all"),))
            same = {"width": 8, "network": settings.get("network", "unet")}
            frozen[role] = build(provider, find(provider).Settings(**same), whole)
    torch.manual_seed(seed)
    return build(name, kind.Settings(**{"width": 8, **settings}), Context(subsets_of(name), teachers=frozen))

"""Steps of every method on a batch, whole or shared by processes; started as a program, it is one of two processes."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from toy import batch, make, subsets_of

from limbeck import ranks
from limbeck.batch import Batch, View
from limbeck.methods import METHODS
from limbeck.methods.base import Progress
from limbeck.networks import unet
from limbeck.training.optimise import Optimisers, OptimiserSettings
from limbeck.training.trainer import TrainingSettings, fabric_for

PROCESSES, OWN, STEPS = 2, 2, 2
# Adam makes a whole step of a gradient that is only rounding; here differences stay as small as they are.
DOWN = OptimiserSettings(optimiser="sgd", learning_rate=1e-2, momentum=0.9, schedule="constant", weight_decay=0.0)
# Sums over voxels want other rates than means.
RATES = {"mtcmkd as published": 1e-6}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in METHODS},
    "gkd on maxpool": ("gkd", {"mask_resize": "maxpool"}),
    "pkdr on vnet": ("pkdr", {"network": "vnet"}),
    "choi with a projector": ("choi", {"projector": True}),
    "choi pooled": ("choi", {"bt_samples": "pooled"}),
    "mtcmkd as published": ("mtcmkd", {"as_published": True}),
}


def uneven(name: str, step: int) -> Batch:
    """Four samples, of which the last has no tumour and the one before no enhancing one."""
    whole = batch(subsets_of(name), seed=step, count=PROCESSES * OWN)
    labels = whole.labels.clone()
    labels[-1] = 0
    labels[-2].masked_fill_(labels[-2] == 3, 2)
    # In float64 a wrong factor stands out from rounding, however much a network amplifies that.
    images = whole.complete.double()
    return dataclasses.replace(whole, view=View.of(images, whole.view.available), complete=images, labels=labels)


def part(whole: Batch, rank: int) -> Batch:
    own = slice(rank * OWN, (rank + 1) * OWN)
    view = View(whole.view.images[own], whole.view.available[own], whole.view.origin[own])
    return Batch(view, whole.complete[own], whole.present[own], whole.labels[own], whole.case_ids[own])


# The promise holds at any depth.
@patch.object(unet, "DEPTHS", (1, 1, 1, 1))
def steps(variant: str, rank: int | None = None) -> dict[str, torch.Tensor]:
    """Weights and buffers after some steps, and the terms of the last, on the whole batch or on a rank's part."""
    name, settings = VARIANTS[variant]
    method = make(name, **settings).double().train()
    rate = RATES.get(variant, DOWN.learning_rate)
    optimisers = Optimisers(method, dataclasses.replace(DOWN, learning_rate=rate))
    fabric = fabric_for(TrainingSettings(precision="float32", device="cpu"))
    terms: dict[str, float] = {}
    for step in range(STEPS):
        whole = uneven(name, step)
        progress = Progress(step, 10, epoch=1, epochs=5)
        for yielded in method.training_step(whole if rank is None else part(whole, rank), progress):
            found = {
                f"{group}/{term}": float(value.detach())
                for group, each in yielded.items()
                for term, value in each.items()
            }
            terms |= ranks.averaged(found)
            optimisers.descend(fabric, yielded)
        method.after_epoch(progress)
    state = {key: value.clone() for key, value in method.state_dict().items()}
    return state | {f"term {key}": torch.tensor(value) for key, value in terms.items()}


def main(folder: Path, rank: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=PROCESSES)
    ranks.begin()
    for variant in VARIANTS:
        save_file(steps(variant, rank), folder / f"{variant} {rank}.safetensors")
    ranks.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

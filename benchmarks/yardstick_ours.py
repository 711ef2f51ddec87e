"""An epoch of our training, for yardstick_training.py; as a script, two steps of it and the most memory they took.

python benchmarks/yardstick_ours.py COHORT '{"spacing": 2.0}'
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from steps import peak_mib, take

from limbeck.anatomy import Subset
from limbeck.data.augment import Augmentation
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.dataset import CropReader, SamplingSettings, batches
from limbeck.data.importers import detect_layout
from limbeck.methods import build, find
from limbeck.methods.base import Context, Method, Progress
from limbeck.methods.precision import uses_bf16
from limbeck.training.optimise import Optimisers, OptimiserSettings
from limbeck.training.trainer import TrainingSettings, fabric_for

RATE = OptimiserSettings(schedule="constant")
START = Progress(0, 1, 0, 1)


@dataclass(frozen=True)
class Sizes:
    """How large the measurement is.

    Attributes:
        spacing: of phantoms and of the network's grid, in mm.
        cases: patients.
        width: of the network.
        side: of a crop, in voxels.
        batch: crops a step.
        steps: in an epoch, which is a turn.
        rounds: turns that count.
        workers: processes of MONAI's loader, besides none.
    """

    spacing: float = 2.0
    cases: int = 6
    width: int = 16
    side: int = 64
    batch: int = 2
    steps: int = 6
    rounds: int = 5
    workers: int = 2

    @property
    def patch(self) -> tuple[int, int, int]:
        """The crop."""
        return (self.side, self.side, self.side)


def make_method(subset: Subset, sizes: Sizes) -> Method[Any]:
    """The network of both, untrained; always the same weights."""
    torch.manual_seed(0)
    kind = find("supervised")
    return build("supervised", kind.Settings(width=sizes.width), Context((subset,)))


def our_epoch(cohort: Cohort, subset: Subset, sizes: Sizes) -> Callable[[], None]:
    """An epoch as `limbeck train` takes it, with its loader, its augmentation and its checks of every term."""
    method = make_method(subset, sizes)
    optimisers, fabric = Optimisers(method, RATE), fabric_for(TrainingSettings(device="cpu"))
    reader = CropReader(cohort.cases, SamplingSettings(patch=sizes.patch, batch=sizes.batch), [subset], 0, False)
    taken = 0

    def epoch() -> None:
        nonlocal taken
        method.train()
        for batch in batches(reader, taken, taken + sizes.steps, torch.device("cpu"), Augmentation()):
            take(method, optimisers, fabric, batch, START)
        taken += sizes.steps

    return epoch


def in_bf16() -> bool:
    """Whether networks run in bf16 here."""
    return uses_bf16("auto", torch.device("cpu"))


def imported(phantoms: Path, out: Path, sizes: Sizes) -> Cohort:
    """The data set of the phantoms' files."""
    importer, _ = detect_layout(phantoms)
    cases = importer.find(phantoms)
    import_cohort(
        cases, out, spacing_mm=sizes.spacing, scheme="brats2018", layout=importer.name, source=phantoms, workers=1
    )
    return Cohort.open(out)


def main() -> None:
    """Two steps; their peak memory on standard output."""
    sizes = replace(Sizes(**json.loads(sys.argv[2])), steps=2)
    our_epoch(Cohort.open(Path(sys.argv[1])), Subset.parse("all"), sizes)()
    print(peak_mib())


if __name__ == "__main__":
    main()

"""A network trained for a minute on phantoms: poor, but with masks in which two ways of predicting can be compared."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from limbeck.anatomy import Label, Subset
from limbeck.batch import Batch
from limbeck.data.augment import Augmentation
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.dataset import CropReader, SamplingSettings, batches
from limbeck.data.importers import detect_layout
from limbeck.methods import build, find
from limbeck.methods.base import Context, Method, Progress
from limbeck.methods.saved import Card, save
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.target import Target
from limbeck.training.optimise import Optimisers, OptimiserSettings
from limbeck.training.trainer import TrainingSettings, fabric_for

FLAIR = Subset.parse("flair")
RATE = OptimiserSettings(learning_rate=3e-3, warmup=10, schedule="constant")
LOOK_EVERY = 10
# Dice of a whole tumour, at which learning ends.
ENOUGH = 0.7


@dataclass(frozen=True)
class Trained:
    """A network and what it has learnt from.

    Attributes:
        method: the network, in memory.
        folder: the same as `limbeck predict` takes it.
        cohort: what it has learnt from, on its grid.
        phantoms: the files of that.
    """

    method: Method[Any]
    folder: Path
    cohort: Cohort
    phantoms: Path

    @property
    def scan(self) -> Path:
        """The FLAIR image of the first patient."""
        return next(iter(sorted(self.phantoms.glob("*/*_flair.nii.gz"))))


@dataclass(frozen=True)
class Sizes:
    """How large a network, and how long it learns.

    Attributes:
        spacing: of its grid, in mm.
        made: spacing of the phantoms, in mm.
        width: of the network.
        window: edge of a window in prediction, in voxels.
        side: edge of a crop in training, in voxels.
        steps: of training at most; it ends as soon as tumours are found.
        cases: phantoms.
    """

    spacing: float = 1.0
    made: float = 1.0
    width: int = 16
    window: int = 96
    side: int = 64
    steps: int = 400
    cases: int = 2


def train(folder: Path, sizes: Sizes) -> Trained:
    """Make phantoms, import them, and teach a network to find tumour in FLAIR."""
    phantoms, out = folder / "phantoms", folder / "cohort"
    write_phantoms(phantoms, sizes.cases, spacing_mm=sizes.made, workers=1)
    importer, _ = detect_layout(phantoms)
    import_cohort(
        importer.find(phantoms), out, spacing_mm=sizes.spacing, scheme="brats2018", layout="brats", source=phantoms
    )
    cohort = Cohort.open(out)
    torch.manual_seed(0)
    method = build("supervised", find("supervised").Settings(width=sizes.width), Context((FLAIR,)))
    optimisers, fabric = Optimisers(method, RATE), fabric_for(TrainingSettings(device="cpu"))
    sampling = SamplingSettings(patch=(sizes.side,) * 3, foreground=0.7)
    reader = CropReader(cohort.cases, sampling, [FLAIR], 0, False)
    method.train()
    for step, batch in enumerate(batches(reader, 0, sizes.steps, torch.device("cpu"), Augmentation.off())):
        optimisers.schedule(step, sizes.steps)
        with fabric.autocast():
            (objectives,) = method.training_step(batch, Progress(step, sizes.steps, 0, 1))
        optimisers.descend(fabric, objectives)
        if (step + 1) % LOOK_EVERY == 0 and _finds_tumour(method, batch):
            break
    else:
        raise SystemExit(f"after {sizes.steps} steps the network finds no tumour: raise its steps")
    settings, model = dataclasses.asdict(method.settings), folder / "model"
    save(
        model,
        method,
        Card("supervised", settings, (FLAIR,), Target.SOFTMAX_LABELS, sizes.spacing, (sizes.window,) * 3, sizes.steps),
    )
    return Trained(method.eval(), model, cohort, phantoms)


def _finds_tumour(method: Method[Any], batch: Batch) -> bool:
    """Whether masks are those of tumours, more or less, in the crops just learnt from."""
    with torch.no_grad():
        found = method.predict(batch.view).argmax(1) != Label.BACKGROUND
    truth = batch.labels != Label.BACKGROUND
    return 2 * int((found & truth).sum()) >= ENOUGH * int(found.sum() + truth.sum()) > 0

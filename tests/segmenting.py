"""Small patients and small models to segment them with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from limbeck.anatomy import Modality, Subset
from limbeck.data.grid import Grid
from limbeck.data.source import Source
from limbeck.errors import UsageError
from limbeck.inference.choice import Choice
from limbeck.inference.files import Files
from limbeck.inference.folder import Job
from limbeck.inference.segmentation import Segmentation
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.methods.saved import Card, save
from limbeck.target import Target

ALL = tuple(Modality)
GRID = Grid.of((12, 10, 9), np.diag([-3.0, 3.0, 4.0, 1.0]))


def write_patient(folder: Path, seed: int, sequences: Iterable[Modality] = ALL) -> dict[Modality, Source]:
    """An ellipsoid of noise for each sequence, flipped and anisotropic."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1.1, 1.1, size) for size in GRID.shape), indexing="ij")
    brain = x**2 + y**2 + z**2 < 1
    found = {}
    for modality in sequences:
        image = np.where(brain, 100 + 30 * int(modality) + rng.normal(0, 20, brain.shape), 0).astype(np.float32)
        path = folder / f"{folder.name}_{modality.role}.nii.gz"
        nib.save(nib.Nifti1Image(image, GRID.affine), path)
        found[modality] = Source(path)
    return found


def write_model(folder: Path, method: str = "dropout", spacing_mm: float = 3.0) -> Path:
    """A small network with random weights."""
    torch.manual_seed(0)
    kind = find(method)
    subsets = Subset.every() if kind.generalist else (Subset.parse("flair"),)
    made = build(method, kind.Settings(width=8), Context(subsets))
    card = Card(method, dataclasses.asdict(made.settings), subsets, Target.SOFTMAX_LABELS, spacing_mm, (16, 16, 16))
    save(folder, made, card)
    return folder


def jobs_of(patients: dict[str, dict[Modality, Source]], out: Path) -> list[Job]:
    return [Job(name, scans, Files(out / f"{name}.nii.gz")) for name, scans in patients.items()]


@dataclasses.dataclass
class Sheet:
    """What the false model reads of a patient."""

    name: str
    choice: Choice


class FalseModel:
    """A model that thresholds nothing and asks for no network: its mask tells patients apart, and hooks look on."""

    def __init__(self, on_read: Callable[[str], None] | None = None, on_compute: Callable[[str], None] | None = None):
        self.on_read, self.on_compute = on_read, on_compute
        self.step = 7
        self.warns: tuple[str, ...] = ()

    def choose(self, given: Subset) -> Choice:
        if Modality.FLAIR not in given:
            raise UsageError(f"this model needs flair but was given {given}: flair is missing")
        return Choice(Subset([Modality.FLAIR]), ("one",), "specialist")

    def read(self, images: dict[str, Source], *, resample: bool = False) -> Sheet:
        name = images["flair"].path.parent.name
        if self.on_read:
            self.on_read(name)
        return Sheet(name, self.choose(Subset(Modality.parse(role) for role in images)))

    def compute(self, patient: Sheet, *, flips: bool = False, processing: Any = None) -> Segmentation:
        if self.on_compute:
            self.on_compute(patient.name)
        scores = np.zeros((4, *GRID.shape), np.float32)
        scores[0] = 1
        scores[:, 3:7, 3:7, 3:6] = np.array([0.1, 0.2, 0.3, 0.4], np.float32)[:, None, None, None]
        labels = scores.argmax(0).astype(np.uint8)
        labels[0, 0, 0] = 1 + sum(map(ord, patient.name)) % 3
        return Segmentation(labels, scores, GRID, Target.SOFTMAX_LABELS, patient.choice, self.warns)

    def identity(self) -> dict[str, Any]:
        members = [{"name": name, "method": "toy", "experiment": None, "step": self.step} for name in ("one", "two")]
        return {"name": "false", "members": members}

    @property
    def members(self) -> tuple[Any, ...]:
        return ()

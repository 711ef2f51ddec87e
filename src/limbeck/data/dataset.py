"""Crops of a cohort as training batches: which cases, where, and what the student may see of them.

All randomness is keyed by (seed, step), so a batch does not depend on those before it: a resumed run, or one with
other loader workers, meets the same batches.
"""

from __future__ import annotations

import math
import signal
import traceback
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from limbeck.anatomy import Modality, Subset
from limbeck.batch import LONGEST_SIDE, MOST_VOXELS, Batch, View
from limbeck.data.augment import Augmentation, apply, draw
from limbeck.data.cohort import CohortCase
from limbeck.data.usable import Usable, usable
from limbeck.errors import DataError, require

# Loaders whose processes are at work.
_READING: weakref.WeakSet[Any] = weakref.WeakSet()


@dataclass(frozen=True)
class SamplingSettings:
    """What a training batch holds.

    Attributes:
        patch: crop in voxels of the cohort's spacing (z,y,x; GKD, RIRN: 128,192,160 at 1 mm; PKDR: 96,128,128).
        batch: crops a step (RIRN: 1; PKDR: 4).
        foreground: share of crops around a labelled voxel (a cavity's, too), its label drawn evenly (nnU-Net: 0.33).
        augment: spatial and intensity augmentation; false leaves the three axis flips of ACN.
        workers: processes that read crops beside training; 0 reads them in a thread of the training process.
    """

    patch: tuple[int, int, int] = (64, 64, 64)
    batch: int = 2
    foreground: float = 0.5
    augment: bool = True
    workers: int = 0

    def __post_init__(self) -> None:
        """Refuse batches that hold nothing.

        Raises:
            UsageError: a value is out of its range.
        """
        require(len(self.patch) == 3 and min(self.patch) >= 1, "patch", self.patch, "three sizes of at least 1")
        fits = max(self.patch) <= LONGEST_SIDE and math.prod(self.patch) <= MOST_VOXELS
        require(fits, "patch", self.patch, f"sides of at most {LONGEST_SIDE}, and at most {MOST_VOXELS} voxels")
        require(self.batch >= 1, "batch", self.batch, "at least 1")
        require(0 <= self.foreground <= 1, "foreground", self.foreground, "a share from 0 to 1")
        require(self.workers >= 0, "workers", self.workers, "0 or a number of processes")


@dataclass(frozen=True)
class Crops:
    """Crops as they were read, before augmentation and before anything is denied.

    Attributes:
        images: `[B,K,D,H,W]` float16, of the K sequences that are read; zero where a case lacks one.
        labels: `[B,D,H,W]` uint8.
        present: `[B,4]` bool, what lies on disk.
        available: `[B,4]` bool, what the student may see.
        origin: `[B,3]` first voxel of each crop; negative where the crop overhangs the volume.
        case_ids: the cases.
    """

    images: Tensor
    labels: Tensor
    present: Tensor
    available: Tensor
    origin: Tensor
    case_ids: tuple[str, ...]


def eligible(cases: Sequence[CohortCase], subsets: Sequence[Subset], privileged: bool) -> Usable[CohortCase]:
    """The cases that training can use: complete ones if it looks at all sequences, else those with a subset on disk.

    Raises:
        DataError: there are none.
    """
    wanted = [Subset(Modality)] if privileged else list(subsets)
    found = usable(cases, wanted)
    if not found.cases:
        names = " or ".join(str(subset) for subset in wanted[:4])
        raise DataError(f"none of {len(cases)} cases has {names} and a segmentation: nothing to train on")
    return found


class CropReader(Dataset[Crops]):
    """Item `step` is the batch of that step, or this process's part of it.

    Args:
        cases: to draw from; those that cannot be used are left out.
        settings: `batch` is that of one process.
        subsets: what the student may see.
        seed: of all draws.
        privileged: whether training looks at all sequences.
        rank: the number of this process.
        processes: how many share a batch. It is the one that a single process with so many times `batch` would read.
    """

    def __init__(
        self,
        cases: Sequence[CohortCase],
        settings: SamplingSettings,
        subsets: Sequence[Subset],
        seed: int,
        privileged: bool,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.usable = eligible(cases, subsets, privileged)
        self.cases = self.usable.cases
        self.settings = settings
        self.subsets = tuple(subsets)
        self.seed = seed
        self.drawn = processes * settings.batch
        self.own = slice(rank * settings.batch, (rank + 1) * settings.batch)
        read = set(Modality) if privileged else {modality for subset in subsets for modality in subset}
        self.modalities = sorted(read)

    def __getitem__(self, step: int) -> Crops:
        rng = np.random.default_rng([self.seed, step])
        patch, count = self.settings.patch, self.settings.batch
        images = np.zeros((count, len(self.modalities), *patch), np.float16)
        labels = np.zeros((count, *patch), np.uint8)
        origins, present, available, names = [], [], [], []
        for index, (case, origin, subset) in enumerate(self._draw(rng)):
            for image, modality in zip(images[index], self.modalities, strict=True):
                if case.present[modality]:
                    _copy(case.images(modality), image, origin)
            reference = case.labels()
            assert reference is not None
            _copy(reference, labels[index], origin)
            available.append(subset.mask())
            origins.append(origin)
            present.append(case.present)
            names.append(case.id)
        return Crops(
            torch.from_numpy(images),
            torch.from_numpy(labels),
            torch.tensor(present),
            torch.tensor(available),
            torch.tensor(np.array(origins)),
            tuple(names),
        )

    def _draw(self, rng: np.random.Generator) -> list[tuple[CohortCase, tuple[int, int, int], Subset]]:
        """The crops of this process. Those before them are drawn too: each draw depends on the ones before."""
        drawn = []
        for _ in range(self.own.stop):
            case = self.cases[int(rng.integers(len(self.cases)))]
            origin = self._origin(case, rng)
            choices = [subset for subset in self.subsets if subset.within(case.present)]
            drawn.append((case, origin, choices[int(rng.integers(len(choices)))]))
        return drawn[self.own]

    def _origin(self, case: CohortCase, rng: np.random.Generator) -> tuple[int, int, int]:
        patch, shape = np.array(self.settings.patch), np.array(case.shape)
        room = shape - patch
        # An axis shorter than the patch overhangs evenly; View and losses see zeros and background there.
        lowest, highest = np.minimum(room // 2, 0), np.maximum(room, room // 2)
        foreground = case.foreground()
        if len(foreground) and rng.random() < self.settings.foreground:
            label = rng.choice(np.unique(foreground[:, 0]))
            candidates = foreground[foreground[:, 0] == label, 1:]
            centre = candidates[int(rng.integers(len(candidates)))]
            origin = centre - rng.integers(patch // 4, patch - patch // 4)
        else:
            origin = rng.integers(lowest, highest + 1)
        first, second, third = np.clip(origin, lowest, highest)
        return int(first), int(second), int(third)


def batches(
    reader: CropReader, start: int, steps: int, device: torch.device, augmentation: Augmentation
) -> Iterator[Batch]:
    """Batches of the steps `start` to `steps - 1`, on the device, augmented there, and denied what is not available."""
    channels = [int(modality) for modality in reader.modalities]
    for step, crops in zip(range(start, steps), _read_ahead(reader, range(start, steps)), strict=True):
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence([reader.seed, step, 1]).generate_state(1)[0])
        )
        images = crops.images.to(device).float()
        parameters = draw(augmentation, reader.drawn, generator).of(reader.own).of_sequences(channels)
        images, labels = apply(images, crops.labels.to(device), parameters)
        if len(channels) < len(Modality):
            read, images = images, images.new_zeros((len(images), len(Modality), *images.shape[2:]))
            images[:, channels] = read
        available = crops.available.to(device)
        view = View.of(images, available, crops.origin.to(device))
        yield Batch(view, images, crops.present.to(device), labels.long(), crops.case_ids)


def _read_ahead(reader: CropReader, steps: range) -> Iterator[Crops]:
    """The crops of these steps; those of the next are read while the caller works on the ones before."""
    if reader.settings.workers:
        yield from _by_processes(reader, steps)
        return
    # A thread is enough: waiting for a disk and copying out of a memory map leave Python to the others.
    if not steps:
        return
    with ThreadPoolExecutor(1, "crops") as thread:
        coming = thread.submit(reader.__getitem__, steps.start)
        for step in steps:
            crops = coming.result()
            if step + 1 in steps:
                coming = thread.submit(reader.__getitem__, step + 1)
            yield crops


def _by_processes(reader: CropReader, steps: range) -> Iterator[Crops]:
    # A loader that starts draws a number; taken from torch's own generator, it would shift every draw of a resumed
    # run, such as those of dropout, against a run that was never stopped.
    loader = DataLoader(
        _Telling(reader),
        batch_size=None,
        sampler=steps,
        num_workers=reader.settings.workers,
        persistent_workers=True,
        generator=torch.Generator(),
        worker_init_fn=_deaf,
    )
    reading = iter(loader)
    _READING.add(reading)
    try:
        for found in reading:
            if isinstance(found, Exception):
                raise found
            yield found
    finally:
        _end(reading)


def end_readers() -> None:
    """End the processes that read crops, whoever still holds their batches, as the traceback of an error does.

    Python would wait for them when it ends, and they do not hear the signal by which it asks them to.
    """
    for reading in list(_READING):
        _end(reading)


def _end(reading: Any) -> None:
    # What the loader does by itself once nobody holds it.
    reading._shutdown_workers()
    _READING.discard(reading)


class _Telling(Dataset[Crops | Exception]):
    """A reader in a process of its own; its errors come up where its crops are taken, as those of a thread do."""

    def __init__(self, reader: CropReader) -> None:
        self.reader = reader

    def __getitem__(self, step: int) -> Crops | Exception:
        try:
            return self.reader[step]
        except Exception as error:
            error.add_note("".join(traceback.format_exception(error)))
            return error


def _deaf(worker: int) -> None:
    """Leave signals to the training process: a terminal, torchrun and SLURM send them to all, and it needs its crops.

    This one ends when it is told to, or within seconds of the training process.
    """
    del worker
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _copy(source: np.ndarray, target: np.ndarray, origin: tuple[int, int, int]) -> None:
    """Fill `target` with the part of `source` that starts at `origin`; what overhangs stays as it is."""
    inside = tuple(
        slice(max(first, 0), min(first + size, length))
        for first, size, length in zip(origin, target.shape, source.shape, strict=True)
    )
    shifted = tuple(slice(part.start - first, part.stop - first) for part, first in zip(inside, origin, strict=True))
    target[shifted] = source[inside]

"""The parts of a batch that several processes read are, together, the batch of one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from limbeck.anatomy import Subset
from limbeck.batch import Batch
from limbeck.cli import main
from limbeck.data.augment import Augmentation
from limbeck.data.cohort import Cohort
from limbeck.data.dataset import CropReader, SamplingSettings, batches

SETTINGS = SamplingSettings(patch=(16, 16, 16), batch=6)


@pytest.fixture(scope="module")
def cohort(five_patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    root = tmp_path_factory.mktemp("shared")
    words = ["import", str(five_patients), "--spacing", "6", "--workers", "1", "--out", str(root / "cohort")]
    assert main(words) == 0
    return Cohort.open(root / "cohort")


def read(cohort: Cohort, rank: int = 0, processes: int = 1) -> list[Batch]:
    settings = dataclasses.replace(SETTINGS, batch=SETTINGS.batch // processes)
    reader = CropReader(cohort.cases, settings, Subset.every(), 5, True, rank, processes)
    return list(batches(reader, 3, 5, torch.device("cpu"), Augmentation()))


@pytest.mark.parametrize("processes", [2, 3])
def test_parts_are_slices_of_the_batch_that_one_process_reads(cohort: Cohort, processes: int) -> None:
    parts = [read(cohort, rank, processes) for rank in range(processes)]
    for step, whole in enumerate(read(cohort)):
        mine = [part[step] for part in parts]
        assert torch.equal(torch.cat([part.complete for part in mine]), whole.complete)
        assert torch.equal(torch.cat([part.labels for part in mine]), whole.labels)
        for name in ("images", "available", "origin"):
            assert torch.equal(torch.cat([getattr(part.view, name) for part in mine]), getattr(whole.view, name))
        assert sum((part.case_ids for part in mine), ()) == whole.case_ids

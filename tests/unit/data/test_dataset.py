"""Batches: the next crops are read meanwhile, and only sequences that somebody looks at; no bit depends on either."""

import threading

import pytest
import torch
from importing import run

from limbeck.anatomy import Modality, Subset
from limbeck.data.augment import Augmentation
from limbeck.data.dataset import CropReader, SamplingSettings, batches
from limbeck.errors import DataError

CPU = torch.device("cpu")
SETTINGS = SamplingSettings(patch=(16, 8, 24), batch=3)


@pytest.fixture
def reader(brats, tmp_path):
    cases = run(brats, tmp_path / "cohort", spacing_mm=1.0).cases

    def made(subset, privileged=False):
        return CropReader(cases, SETTINGS, [Subset.parse(subset)], 3, privileged)

    return made


def read(reader, start=0, steps=6):
    return batches(reader, start, steps, CPU, Augmentation())


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("crops")]


@pytest.mark.parametrize("subset", ["t1ce", "flair+t2"])
def test_a_sequence_is_the_same_whatever_is_read_beside_it(reader, subset):
    """A student alone reads its own sequences, beside a teacher all four."""
    wanted = [modality in Subset.parse(subset) for modality in Modality]
    assert not all(wanted)
    for alone, beside in zip(read(reader(subset)), read(reader(subset, privileged=True)), strict=True):
        assert torch.equal(alone.view.images, beside.view.images)
        assert torch.equal(alone.labels, beside.labels)
        assert torch.equal(alone.complete[:, wanted], beside.complete[:, wanted])
        assert not alone.complete[:, [not chosen for chosen in wanted]].any()
        assert beside.complete.flatten(2).any(2).all()
        assert alone.labels.dtype == torch.long


def test_a_later_start_meets_the_same_batches(reader):
    whole, later = list(read(reader("all")))[4:], list(read(reader("all"), start=4))
    assert len(whole) == len(later) == 2
    for one, other in zip(whole, later, strict=True):
        assert torch.equal(one.complete, other.complete)
        assert torch.equal(one.labels, other.labels)
    assert list(read(reader("all"), start=6)) == []


def test_the_next_crops_are_read_during_a_step(reader, monkeypatch):
    found, begun = reader("flair"), {step: threading.Event() for step in range(6)}
    original = CropReader.__getitem__

    def noted(self, step):
        begun[step].set()
        return original(self, step)

    monkeypatch.setattr(CropReader, "__getitem__", noted)
    running = read(found)
    next(running)
    # Nobody has asked for it yet.
    assert begun[1].wait(10)
    assert not begun[2].wait(0.2), "one step ahead and no more, or memory would grow"
    assert readers()
    running.close()
    assert not readers(), "who stops leaves nothing behind"


def test_damage_that_is_met_ahead_is_told_when_its_step_comes(reader, monkeypatch):
    """The step before is whole, and its checkpoint can be written."""
    original = CropReader.__getitem__

    def damaged(self, step):
        if step == 2:
            raise DataError("flair.npy: damaged")
        return original(self, step)

    monkeypatch.setattr(CropReader, "__getitem__", damaged)
    found = reader("flair")
    done = []
    with pytest.raises(DataError, match=r"flair\.npy"):
        for step, _ in enumerate(read(found)):
            done.append(step)
    assert done == [0, 1]
    assert not readers()

"""The same again: one seed on one machine gives the same bytes, whatever else is different.

Two worlds make everything by the same commands. The second is another process in another place: its strings hash
differently, folders are listed the other way round, the data set has another name and was written in another order,
more processes work, and runs and patients are named in another order.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from isolation.backwards import turned
from isolation.commands import ending

from limbeck.anatomy import Subset
from limbeck.data.augment import Augmentation
from limbeck.data.cohort import Cohort
from limbeck.data.dataset import CropReader, SamplingSettings, batches
from limbeck.data.importers import IMPORTERS, detect_layout
from limbeck.inference import predictor
from limbeck.losses import cross_entropy_dice
from limbeck.networks.unet import UNet
from limbeck.phantom.cohort import LAYOUTS
from limbeck.phantom.patient import make

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--width", "8", "--patch", "16,16,16", "--folds", "3", "--precision", "float32", "--device", "cpu"]
# Of the machine, of the process, or of where things lie.
NEVER_THE_SAME = ("environment.json", "places.json", "train.lock")


def commands(source: str, processes: str, runs: list[str]) -> list[list[str]]:
    """From nothing to tables and masks.

    Args:
        source: what the folder of patients is called.
        processes: how many import and inspect.
        runs: the order in which runs are named.
    """
    working = ["--spacing", "9", "--workers", processes]
    training = ["--data", "cohort", "--out", "runs", "--steps", "3", *SMALL]
    return [
        ["import", source, *working, "--out", "cohort"],
        ["inspect", source, "--json", "--workers", processes],
        ["train", "supervised", "--subset", "flair", *training],
        ["train", "supervised", "--subset", "flair", "--seed", "1", *training],
        ["train", "dropout", *training],
        [
            "evaluate",
            *runs,
            "--data",
            "cohort",
            "--metrics",
            "dice",
            "--subsets",
            "flair,t1+t2",
            "--out",
            "results.csv",
        ],
        ["report", "results.csv", "--data", "cohort", "--runs", "runs", "--out", "report.html"],
        ["pack", *(run for run in runs if "flair" in run), "--out", "model"],
        ["predict", "model", "--folder", source, "--probabilities", "-o", "masks"],
    ]


RUNS = ["runs/supervised-flair-f0-s0-*", "runs/supervised-flair-f0-s1-*", "runs/dropout-*"]


def make_phantoms(source: str, processes: str) -> list[str]:
    return ["phantom", "--cases", "4", "--spacing", "6", "--seed", "5", "--workers", processes, "--out", source]


class Worlds:
    """Two folders that were filled in different ways.

    Attributes:
        one: filled here, by one process.
        other: filled elsewhere, by more.
        said: what the commands said, of each world.
    """

    def __init__(self, root: Path) -> None:
        self.one, self.other = root / "one", root / "other"
        self.one.mkdir()
        self.other.mkdir()
        with contextlib.chdir(self.one):
            assert ending(make_phantoms("phantoms", "1"))["code"] == 0
            here = [ending(words) for words in commands("phantoms", "1", RUNS)]
        with contextlib.chdir(self.other):
            assert ending(make_phantoms("made", "2"))["code"] == 0
        # Copied in another order, so that the disk knows the files in another order too.
        for path in sorted((self.other / "made").rglob("*"), reverse=True):
            if path.is_file():
                copy = self.other / "delivered" / path.relative_to(self.other / "made")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        there = self.elsewhere(commands("delivered", "2", RUNS[::-1]))
        assert [(end["words"][0], end["code"], end["err"]) for end in here + there if end["code"]] == []
        self.said = [
            # What is evaluated first stands first on the screen.
            {
                end["words"][0]: end["out"].replace("delivered", "phantoms")
                for end in ended
                if end["words"][0] != "evaluate"
            }
            for ended in (here, there)
        ]

    def elsewhere(self, words: list[list[str]]) -> list[dict[str, Any]]:
        """Commands in the other world; processes that they start are of that world too."""
        folder = ROOT / "tests" / "isolation"
        environment = {"PYTHONHASHSEED": "17", "LIMBECK_BACKWARDS": "1", "PYTHONPATH": str(folder)}
        subprocess.run(
            [sys.executable, str(folder / "commands.py"), "ended.json"],
            input=json.dumps(words),
            text=True,
            cwd=self.other,
            env={**os.environ, **environment},
            check=True,
        )
        ended: list[dict[str, Any]] = json.loads((self.other / "ended.json").read_text())["ended"]
        return ended

    def same(self, folder: str, other: str = "", read: Callable[[Path], object] = Path.read_bytes) -> list[str]:
        """Names of the files in a folder, or of a file, after comparing each with that of the other world."""
        names = [files_of(root / name) for root, name in ((self.one, folder), (self.other, other or folder))]
        assert names[0] == names[1] != []
        for name in names[0]:
            one, two = self.one / folder / name, self.other / (other or folder) / name
            assert read(one) == read(two), f"{one} and {two} differ"
        return names[0]


def files_of(root: Path) -> list[str]:
    paths = sorted(root.rglob("*")) if root.is_dir() else [root]
    return [str(path.relative_to(root)) for path in paths if path.is_file() and path.name not in NEVER_THE_SAME]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    return Worlds(tmp_path_factory.mktemp("worlds"))


def test_phantoms_are_the_same_whatever_the_number_of_processes(worlds) -> None:
    assert len(worlds.same("phantoms", "made")) > 4 * 5


def test_a_cohort_is_the_same_whatever_the_place_name_and_order_of_files(worlds) -> None:
    def read(path: Path) -> object:
        if path.suffix != ".json":
            return path.read_bytes()
        # Where the files lay, and when they were changed.
        return {key: value for key, value in json.loads(path.read_text()).items() if key not in ("source", "sources")}

    assert "splits.json" in worlds.same("cohort", read=read)
    assert Cohort.open(worlds.one / "cohort").hash == Cohort.open(worlds.other / "cohort").hash


def test_runs_have_the_same_names_weights_and_logs(worlds) -> None:
    def read(path: Path) -> object:
        if path.name != "log.csv":
            return path.read_bytes()
        return [row for row in csv.reader(path.open()) if "seconds" not in row]

    names = worlds.same("runs", read=read)
    assert {Path(name).name for name in names} >= {"DONE", "checkpoint.json", "experiment.yaml", "log.csv"}
    weights = [sorted(next(worlds.one.glob(run)).glob("last/weights-*.safetensors")) for run in RUNS[:2]]
    assert [len(files) for files in weights] == [1, 1]
    assert weights[0][0].read_bytes() != weights[1][0].read_bytes()


def test_tables_and_pages_are_the_same_byte_for_byte(worlds) -> None:
    worlds.same("results.csv")
    worlds.same("report.html")


def test_packs_and_masks_are_the_same_byte_for_byte(worlds) -> None:
    worlds.same("model")
    names = worlds.same("masks")
    assert len(names) == 4 * 3
    sequences = {json.loads((worlds.one / "masks" / name).read_text())["sequences"] for name in names if "json" in name}
    assert sequences == {"flair"}


def test_commands_say_the_same(worlds) -> None:
    one, other = worlds.said
    assert one == other and len(one) == 6


def test_a_patient_gets_the_same_mask_without_the_others(worlds, tmp_path) -> None:
    patient = next(path for path in sorted((worlds.one / "phantoms").iterdir(), reverse=True) if path.is_dir())
    out = ["--probabilities", "-o", str(tmp_path / f"{patient.name}.nii.gz")]
    assert ending(["predict", str(worlds.one / "model"), "--case", str(patient), *out])["code"] == 0
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (worlds.one / "masks" / path.name).read_bytes()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_run_records_how_many_threads_computed_it(worlds) -> None:
    """With another number, sums are made in another order: the one thing here that may change the last bits."""
    for run in (worlds.one / "runs").iterdir():
        session = json.loads((run / "environment.json").read_text())["sessions"][-1]
        assert session["threads"] == torch.get_num_threads() == 1


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_with_several_threads_a_gradient_is_repeatable_too(precision) -> None:
    # Of four voxels at the coarsest level: of two, torch's own gradient in bfloat16 is not (trainer.check_patch).
    images, labels = torch.randn(1, 1, 32, 16, 16), torch.randint(4, (1, 32, 16, 16))

    def gradients() -> list[torch.Tensor]:
        torch.manual_seed(0)
        network = UNet(1, 4, 8)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            loss = cross_entropy_dice(network(images).logits, labels)
        return list(torch.autograd.grad(loss, list(network.parameters())))

    torch.set_num_threads(2)
    try:
        pairs = list(zip(gradients(), gradients(), strict=True))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_batches_are_the_same_whatever_the_number_of_processes_that_read_them(worlds) -> None:
    cases = Cohort.open(worlds.one / "cohort").cases
    read = []
    for workers in (0, 1, 2):
        settings = SamplingSettings(patch=(16, 16, 16), workers=workers)
        reader = CropReader(cases, settings, Subset.every(), seed=3, privileged=False)
        read.append(list(batches(reader, 0, 4, torch.device("cpu"), Augmentation())))
    for others in read[1:]:
        for one, other in zip(read[0], others, strict=True):
            assert one.case_ids == other.case_ids
            assert torch.equal(one.complete, other.complete) and torch.equal(one.labels, other.labels)
            assert torch.equal(one.view.images, other.view.images)


def test_a_window_is_predicted_alone(worlds, monkeypatch) -> None:
    """Beside others in a batch, float32 convolutions may round it otherwise."""
    loaded = predictor.load(next(worlds.one.glob(RUNS[2])), "cpu", "float32")
    predict, seen = loaded.method.predict, []

    def noted(view: Any) -> torch.Tensor:
        seen.append(len(view.images))
        return predict(view)

    monkeypatch.setattr(loaded.method, "predict", noted)
    case = Cohort.open(worlds.one / "cohort").cases[0]
    assert max(case.shape) > 16
    loaded.segment_case(case, Subset.parse("t2"))
    assert len(seen) > 1 and set(seen) == {1}


@pytest.fixture(scope="module")
def patients() -> list[Any]:
    return [make(7, index, 6.0) for index in range(2)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_importers_find_the_same_in_whatever_order_files_are_listed(layout, patients, tmp_path, monkeypatch) -> None:
    for number, patient in enumerate(patients, start=1):
        LAYOUTS[layout].write(tmp_path, LAYOUTS[layout].name(number), patient)
    LAYOUTS[layout].describe(tmp_path)
    found = []
    for _ in range(2):
        importer, why = detect_layout(tmp_path)
        assert importer is IMPORTERS[importer.name]
        cases = importer.find(tmp_path)
        found.append((importer.name, why, cases, importer.codes(tmp_path, cases)))
        for name, function in turned().items():
            monkeypatch.setattr(os, name, function)
    assert found[0] == found[1] and len(found[0][2]) == 2
    assert np.array_equal([case.id for case in found[0][2]], sorted(case.id for case in found[0][2]))

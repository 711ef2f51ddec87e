"""The example scripts run, in small."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest

from limbeck.cli import main

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_run_here_and_is_short() -> None:
    scripts = {path.stem: len(path.read_text().splitlines()) for path in EXAMPLES.glob("*.py")}
    assert scripts.keys() == {"train_on_phantoms", "predict_a_case", "predict_with_onnx", "read_results"}
    assert max(scripts.values()) < 60


def test_examples_train_predict_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Translation to ONNX takes as long as a graph has nodes, and a process for each of a few phantoms its start.
    monkeypatch.setattr("limbeck.networks.unet.DEPTHS", (1, 1, 1, 1))
    monkeypatch.setattr("limbeck.phantom.cohort.processors", lambda: 1)
    run = load("train_on_phantoms").train(tmp_path, cases=5, steps=2, spacing_mm=6.0, patch=24)
    scan = next((tmp_path / "phantoms").glob("*/*_flair.nii.gz"))
    volumes = load("predict_a_case").predict(str(run), {"flair": str(scan)}, tmp_path / "mask.nii.gz")
    assert (tmp_path / "mask.nii.gz").is_file()
    assert volumes.keys() == {"WT", "TC", "ET"}
    _onnx_gives_that_mask(run, scan, tmp_path)
    results = tmp_path / "results.csv"
    assert main(["evaluate", str(run), "--data", str(tmp_path / "cohort"), "--out", str(results)]) == 0
    means = load("read_results").means(results)
    assert {key[0] for key in means} == {run.name}
    assert all(0 <= value <= 1 for value in means.values())


def _onnx_gives_that_mask(run: Path, scan: Path, folder: Path) -> None:
    """By the file alone, the mask of the model; a score that rounds to another side of a tie may turn a voxel."""
    assert main(["export", str(run), "-o", str(folder / "student.onnx")]) == 0
    load("predict_with_onnx").predict(folder / "student.onnx", {"flair": str(scan)}, folder / "onnx.nii.gz")
    expected, found = (nib.load(folder / name) for name in ("mask.nii.gz", "onnx.nii.gz"))
    assert np.array_equal(found.affine, expected.affine)
    assert np.mean(np.asarray(found.dataobj) != np.asarray(expected.dataobj)) < 1e-3

"""Every method by the command line: trained on phantoms, scored on its held-out fold, and used on a scan."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from limbeck.cli import main
from limbeck.methods import METHODS, find

# What is promised here holds at any depth.
pytestmark = pytest.mark.usefixtures("shallow_unet")
FAST = ["--width", "8", "--patch", "16,16,16", "--folds", "3", "--precision", "float32", "--device", "cpu"]
LENGTH = ["--steps", "3", "--epoch-steps", "2"]


@pytest.fixture(scope="module")
def place(five_patients: Path, coarse_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("every-method")
    (root / "phantoms").symlink_to(five_patients)
    shutil.copytree(coarse_cohort, root / "cohort")
    return root


def trained(place: Path, method: str, capsys: pytest.CaptureFixture[str], subset: str | None) -> str:
    """The run's folder as the command prints it; teachers are trained first, once."""
    words = ["train", method, "--data", str(place / "cohort"), "--out", str(place / "runs"), *LENGTH, *FAST]
    if subset:
        words += ["--subset", subset]
    for provider in find(method).needs.values():
        words += ["--teacher", trained(place, provider, capsys, None if find(provider).generalist else "all")]
    assert main(words) == 0
    return capsys.readouterr().out.strip().splitlines()[-1]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_scores_and_predicts(
    method: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(place, method, capsys, None if find(method).generalist else "t1ce")
    assert Path(run, "DONE").is_file()
    results = tmp_path / "results.csv"
    assert main(["evaluate", run, "--data", str(place / "cohort"), "--subsets", "t1ce", "--out", str(results)]) == 0
    rows = list(csv.DictReader(results.open()))
    assert {row["method"] for row in rows} == {method}
    assert {row["region"] for row in rows} == {"WT", "TC", "ET"}
    scan, mask = next((place / "phantoms").glob("*/*_t1ce.nii.gz")), tmp_path / "mask.nii.gz"
    assert main(["predict", run, "--t1ce", str(scan), "-o", str(mask)]) == 0
    image, found = nib.load(scan), nib.load(mask)
    assert found.shape == image.shape
    assert np.allclose(found.affine, image.affine)

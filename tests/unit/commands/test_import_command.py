"""`limbeck import` shows what it decided before it works, and can be told otherwise."""

from __future__ import annotations

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from limbeck.cli import main
from limbeck.data.cohort import Cohort

SIZE = (12, 13, 14)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([-1.0, -1.0, 1.0, 1.0])), path)


def labels(codes):
    """A ball of necrosis, enhancement and oedema, one around the other, in these codes."""
    distance = np.sqrt(sum((grid - 6) ** 2 for grid in np.indices(SIZE)))
    return np.select([distance < 2, distance < 3.5, distance < 5], codes, 0).astype(np.uint8)


@pytest.fixture
def data(tmp_path):
    """Two examinations of one patient, with codes of BraTS 2018; the second lacks T1ce and a segmentation."""
    rng = np.random.default_rng(0)
    for case, roles in (("Brats18_P_1", ("flair", "t1", "t1ce", "t2")), ("Brats18_P_2", ("flair", "t1", "t2"))):
        for role in roles:
            save(tmp_path / "data" / case / f"{case}_{role}.nii.gz", rng.integers(1, 99, SIZE, np.int16))
    save(tmp_path / "data" / "Brats18_P_1" / "Brats18_P_1_seg.nii.gz", labels([1, 4, 2]))
    return tmp_path / "data"


def words(data, *more):
    return ["import", str(data), "--workers", "1", "--out", str(data.parent / "cohort"), *more]


def test_the_decision_is_shown(data, capsys):
    assert main(words(data)) == 0
    layout, codes, found, written = capsys.readouterr().out.splitlines()
    assert layout.startswith("layout brats: ")
    assert codes.startswith("labels read as brats2018: names such as flair")
    assert "the one segmentation looked at (--labels overrides)" in codes
    assert found == "2 cases of 1 patient; 1 of 2 lacks t1ce; 1 of 2 lacks a segmentation"
    assert "1 with all four sequences" in written
    cohort = Cohort.open(data.parent / "cohort")
    assert (cohort.layout, cohort.scheme) == ("brats", "brats2018")
    assert {case.patient for case in cohort.cases} == {"Brats18_P"}


def test_the_decision_can_be_overridden(data, capsys):
    save(data / "Brats18_P_2" / "Brats18_P_2_seg.nii.gz", labels([1, 3, 2]))
    assert main(words(data)) == 3
    assert "contradict" in capsys.readouterr().err
    save(data / "Brats18_P_1" / "Brats18_P_1_seg.nii.gz", labels([4, 3, 2]))
    assert main(words(data, "--labels", "brats2024", "--layout", "brats")) == 0
    out = capsys.readouterr().out
    assert "layout brats, as told\nlabels read as brats2024: as told\n2 cases" in out
    assert Cohort.open(data.parent / "cohort").scheme == "brats2024"


def test_a_table_is_a_source(data, capsys):
    rows = ["case,patient,T1Gd,age", "one,P,data/Brats18_P_1/Brats18_P_1_t1ce.nii.gz,50"]
    (data.parent / "cases.csv").write_text("\n".join(rows))
    assert main(words(data.parent / "cases.csv")) == 0
    out = capsys.readouterr().out
    assert "layout table: " in out
    assert "not age" in out
    assert Cohort.open(data.parent / "cohort").case("one").present == (False, False, True, False)


def test_help_names_every_layout_without_torch():
    code = "import sys; from limbeck.cli import main; main(['import', '--help']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "one of auto, msd, nnunet, bids, brats, table" in " ".join(done.stdout.split())


@pytest.mark.parametrize("spacing", ["inf", "0", "nan", "-1", "0.05", "101", "wide"])
def test_a_spacing_that_no_model_could_have_is_refused_at_once(data, capsys, spacing):
    assert main(words(data, f"--spacing={spacing}")) == 2
    text = capsys.readouterr().err
    assert f"--spacing: '{spacing}': expected mm, from 0.1 to 100" in text
    assert not (data.parent / "cohort").exists()

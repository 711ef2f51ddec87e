import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from limbeck.data.cohort import import_cohort
from limbeck.data.importers import IMPORTERS
from limbeck.data.inspection import inspect
from limbeck.errors import DataError, UsageError


def only(report):
    (finding,) = report.findings
    return finding


def test_a_sound_data_set(brats):
    steps = []
    report = inspect(brats, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (5, 5)
    assert report.findings == []
    assert (report.errors, report.warnings, report.layout, report.scheme) == (0, 0, "brats", "brats2018")
    row = report.rows()[0]
    assert (row["case"], row["sequences"], row["axes"]) == ("Brats18_P0_1", "flair+t1+t1ce+t2", "LPS")
    assert row["shape"] == "24 x 28 x 20"
    assert "enhancing" in row["labels [ml]"]
    assert json.loads(json.dumps(report.to_json()))["cases"][0]["patient"] == "Brats18_P0"


def test_the_decathlon(decathlon):
    assert inspect(decathlon).findings == []


@pytest.mark.parametrize(
    ("change", "severity", "expected"),
    [
        ("truncate", "error", "end"),
        ("nan", "error", "NaN"),
        ("constant", "error", "every voxel is 0"),
        ("flat", "error", "one value"),
        ("shape", "error", "shape 23 x 28 x 20"),
        ("affine", "error", "affine off by"),
        ("twin", "error", "the same image as flair"),
        ("remove", "warning", "no t1"),
        ("fill", "warning", "the background is 1, not 0"),
        ("labels", "error", "unknown label 7"),
        ("label-grid", "error", "compared with the images"),
        ("no-tumour", "warning", "all background"),
        ("wrong-place", "warning", "outside the head"),
        ("no-labels", "warning", "no segmentation"),
    ],
)
def test_each_fault_is_found_and_nothing_else(tmp_path, phantoms, change, severity, expected):
    folder = phantoms.brats_case(tmp_path, "bad")
    phantoms.brats_case(tmp_path, "good", seed=1)
    image, labels = folder / "bad_t1.nii.gz", folder / "bad_seg.nii.gz"
    array, codes = np.asanyarray(nib.load(image).dataobj), np.asanyarray(nib.load(labels).dataobj)
    nan, shifted = array.astype(np.float32), phantoms.lps + 0.5 * np.eye(4)
    nan[0, 0, 0] = np.nan
    far = np.zeros_like(codes)
    far[:3, :3, :3] = 1
    changes = {
        "truncate": lambda: image.write_bytes(image.read_bytes()[:-4]),
        "nan": lambda: phantoms.save(image, nan),
        "constant": lambda: phantoms.save(image, np.zeros_like(array)),
        "flat": lambda: phantoms.save(image, (array > 0).astype(np.uint8)),
        "shape": lambda: phantoms.save(image, array[1:]),
        "affine": lambda: phantoms.save(image, array, shifted),
        "twin": lambda: image.write_bytes((folder / "bad_flair.nii.gz").read_bytes()),
        "remove": image.unlink,
        "fill": lambda: phantoms.save(image, array + 1),
        "labels": lambda: phantoms.save(labels, np.where(codes == 4, 7, codes)),
        "label-grid": lambda: phantoms.save(labels, codes, shifted),
        "no-tumour": lambda: phantoms.save(labels, np.zeros_like(codes)),
        "wrong-place": lambda: phantoms.save(labels, far),
        "no-labels": labels.unlink,
    }
    changes[change]()
    finding = only(inspect(tmp_path))
    assert (finding.case, finding.severity) == ("bad", severity)
    assert expected in finding.what
    assert finding.remedy


def test_position_and_thick_slices(tmp_path, phantoms):
    folder = phantoms.brats_case(tmp_path, "old", roles=("t1",), affine=np.diag([-1.0, -1.0, 5.0, 1]))
    path = folder / "old_t1.nii.gz"
    phantoms.save(path, np.asanyarray(nib.load(path).dataobj), np.diag([-1.0, -1.0, 5.0, 1]), code=0)
    (folder / "old_seg.nii.gz").unlink()
    whats = " / ".join(finding.what for finding in inspect(tmp_path).findings)
    for expected in ("no flair and no t1ce and no t2", "neither qform nor sform", "5 mm", "no case has a segmentation"):
        assert expected in whats


def test_all_problems_of_several_cases(brats):
    (brats / "HGG" / "Brats18_P1_1" / "Brats18_P1_1_t1.nii.gz").write_bytes(b"")
    (brats / "LGG" / "Brats18_P2_1" / "Brats18_P2_1_t2.nii.gz").write_bytes(b"")
    report = inspect(brats)
    assert [finding.case for finding in report.findings] == ["Brats18_P1_1", "Brats18_P2_1"]
    assert report.errors == 2
    assert [row["findings"] for row in report.rows()] == ["0", "1", "1", "0", "0"]


def test_a_bad_manifest_is_a_finding(decathlon):
    (decathlon / "imagesTr" / "BRATS_001.nii.gz").unlink()
    finding = only(inspect(decathlon))
    assert finding.severity == "error"
    assert "BRATS_001.nii.gz" in finding.what


def test_requests_that_cannot_be_met(brats, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        inspect(tmp_path / "none")
    with pytest.raises(UsageError, match="unknown label scheme"):
        inspect(brats, scheme="brats")
    assert inspect(brats, scheme="brats2023").errors == 5


def test_a_cohort(brats, tmp_path, phantoms):
    phantoms.brats_case(brats, "part", roles=("flair",))
    cases = IMPORTERS["brats"].find(brats)
    cohort = import_cohort(cases, tmp_path / "cohort", scheme="brats2018", layout="brats", source=brats)
    report = inspect(tmp_path / "cohort")
    assert (report.layout, report.errors, report.warnings, len(report.cases)) == ("cohort", 0, 1, 6)
    path = cohort.case("Brats18_P3_1").folder / "t1.npy"
    path.write_bytes(path.read_bytes()[:-2] + b"??")
    report = inspect(tmp_path / "cohort")
    assert report.errors == 1
    assert "t1.npy: damaged" in report.findings[0].what
    (cohort.case("Brats18_P2_1").folder / "case.json").write_text("{")
    assert inspect(tmp_path / "cohort").errors == 2


def test_no_torch_is_needed(brats):
    code = (
        "import sys; from pathlib import Path; from limbeck.data.inspection import inspect; "
        f"assert inspect(Path({str(brats)!r})).errors == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_that_an_import_would_refuse_are_told_all(tmp_path, phantoms):
    scan = phantoms.save(tmp_path / "a b.nii.gz", np.arange(8 * 9 * 10.0).reshape(8, 9, 10))
    rows = [f"{name},{scan.name}" for name in ("Patient 1", "Zoë 2", "fine")]
    (tmp_path / "cases.csv").write_text("\n".join(["case,flair", *rows]) + "\n")
    told = [
        finding for finding in inspect(tmp_path / "cases.csv").findings if "not a name for a folder" in finding.what
    ]
    assert [finding.severity for finding in told] == ["error", "error"]
    assert "'Patient 1'" in told[0].what and "'Zoë 2'" in told[1].what

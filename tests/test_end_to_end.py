"""The main path by the command line: phantoms, cohort, teacher, students, table, report, masks.

The commands run in this process, since each start costs seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from limbeck.anatomy import Subset
from limbeck.cli import main
from limbeck.evaluation.metrics import STANDARD
from limbeck.evaluation.table import read

FAST = ["--width", "8", "--patch", "16,16,16", "--folds", "3", "--precision", "float32", "--device", "cpu"]


class Workshop:
    """A folder in which commands run, and what they made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.phantoms, self.cohort, self.runs = root / "phantoms", root / "cohort", root / "runs"
        self.teacher = self.student = self.generalist = root

    def train(self, *words: str, steps: int = 3) -> Path:
        before = set(self.runs.glob("*"))
        common = ["--data", str(self.cohort), "--out", str(self.runs), "--steps", str(steps), *FAST]
        assert main(["train", *words, *common]) == 0
        (made,) = set(self.runs.glob("*")) - before
        return made


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Six phantoms, their cohort, a teacher, a distilled student and a generalist."""
    shop = Workshop(tmp_path_factory.mktemp("end-to-end"))
    making = ["phantom", "--cases", "6", "--spacing", "6", "--seed", "1", "--workers", "1"]
    assert main([*making, "--out", str(shop.phantoms)]) == 0
    reading = ["import", str(shop.phantoms), "--spacing", "6", "--workers", "1"]
    assert main([*reading, "--out", str(shop.cohort)]) == 0
    shop.teacher = shop.train("supervised", "--subset", "all")
    shop.student = shop.train("gkd", "--subset", "flair", "--teacher", str(shop.teacher))
    shop.generalist = shop.train("dropout")
    return shop


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    capsys.readouterr()
    yield capsys


def test_phantoms_pass_inspection(shop, told) -> None:
    assert main(["inspect", str(shop.phantoms), "--json"]) == 0
    report = json.loads(told.readouterr().out)
    assert len(report["cases"]) == 6
    assert not [finding for finding in report["findings"] if finding["severity"] == "error"]
    assert main(["inspect", str(shop.cohort)]) == 0


def test_a_cohort_with_a_damaged_file_fails_inspection(shop, told, tmp_path) -> None:
    making = ["phantom", "--cases", "1", "--spacing", "6", "--workers", "1", "--out", str(tmp_path / "one")]
    assert main(making) == 0
    assert main(["import", str(tmp_path / "one"), "--spacing", "6", "--out", str(tmp_path / "cohort")]) == 0
    array = next((tmp_path / "cohort").rglob("*.npy"))
    array.write_bytes(array.read_bytes()[:-1] + b"?")
    assert main(["inspect", str(tmp_path / "cohort")]) == 3


def test_runs_say_what_they_are(shop) -> None:
    for run, name in (
        (shop.teacher, "supervised-"),
        (shop.student, "gkd-flair-f0-s0-"),
        (shop.generalist, "dropout-any-"),
    ):
        assert run.name.startswith(name)
        assert {"DONE", "best", "last", "log.csv", "experiment.yaml"} <= {path.name for path in run.iterdir()}
    card = json.loads((shop.student / "best" / "checkpoint.json").read_text())
    taught_by = json.loads((shop.teacher / "best" / "checkpoint.json").read_text())["origin"]["experiment"]
    assert card["origin"]["teachers"] == {"teacher": taught_by}


def test_training_again_finds_the_finished_run(shop, told) -> None:
    files = {path: path.stat().st_mtime_ns for path in shop.student.rglob("*")}
    words = ["train", "gkd", "--subset", "flair", "--teacher", str(shop.teacher), "--steps", "3", *FAST]
    assert main([*words, "--data", str(shop.cohort), "--out", str(shop.runs)]) == 0
    assert told.readouterr().out.strip() == str(shop.student)
    assert files == {path: path.stat().st_mtime_ns for path in shop.student.rglob("*")}


def test_specialist_and_generalist_become_a_table_and_a_report(shop, told, tmp_path) -> None:
    results = tmp_path / "results.csv"
    runs = [str(shop.student), str(shop.generalist)]
    assert main(["evaluate", *runs, "--data", str(shop.cohort), "--out", str(results)]) == 0
    rows = read(results)
    held_out = {row.case for row in rows}
    assert len(held_out) == 2
    served = {run: {row.subset for row in rows if row.run == run.name} for run in (shop.student, shop.generalist)}
    assert served[shop.student] == {Subset.parse("flair")}
    assert served[shop.generalist] == set(Subset.every())
    measured = [(row.run, row.case, row.subset, row.region, row.metric) for row in rows]
    assert len(measured) == len(set(measured)) == 2 * 16 * 3 * len(STANDARD)
    told.readouterr()
    page = tmp_path / "report.html"
    assert main(["report", str(results), "-o", str(page)]) == 0
    text = page.read_text()
    assert all(f">{subset}<" in text for subset in Subset.every())
    assert not re.search(r"(src|href)=[\"']?(http|//)", text)


def test_chosen_subsets_are_evaluated_alone(shop, tmp_path) -> None:
    results = tmp_path / "two.csv"
    words = ["evaluate", str(shop.generalist), "--data", str(shop.cohort), "--subsets", "t1c,t2f+t2"]
    assert main([*words, "--out", str(results)]) == 0
    assert {row.subset for row in read(results)} == {Subset.parse("t1ce"), Subset.parse("flair+t2")}


def lies_over(mask: Path, scan: Path) -> None:
    found, wanted = nib.load(mask), nib.load(scan)
    assert found.get_data_dtype() == np.uint8
    assert found.shape == wanted.shape
    assert np.array_equal(found.affine, wanted.affine)
    for field in ("qform_code", "sform_code", "pixdim", "quatern_b", "qoffset_x", "srow_x", "xyzt_units"):
        assert np.array_equal(found.header[field], wanted.header[field]), field


def odd_scan(source: Path, target: Path) -> Path:
    """The scan on another grid: axes swapped and flipped, obliquely placed, with two forms that differ."""
    image = nib.load(source)
    voxels = np.asarray(image.dataobj).transpose(2, 0, 1)[::-1]
    turned = image.affine[:, [2, 0, 1, 3]] @ np.diag([-1.0, 1, 1, 1])
    turned[:3, 3] = (7.5, -20.25, 3)
    turned[0, 1] += 0.1
    scan = nib.Nifti1Image(np.ascontiguousarray(voxels), turned)
    scan.set_sform(turned, 2)
    scan.set_qform(image.affine[:, [2, 0, 1, 3]], 1)
    target.parent.mkdir(exist_ok=True)
    nib.save(scan, target)
    return target


@pytest.fixture
def flair(shop) -> Path:
    return next(shop.phantoms.glob("*1/*_flair.nii.gz"))


def test_a_file_gets_a_mask_on_its_own_grid(shop, flair, told, tmp_path) -> None:
    mask = tmp_path / "mask.nii.gz"
    assert main(["predict", str(shop.student), "--flair", str(flair), "-o", str(mask)]) == 0
    lies_over(mask, flair)
    facts = json.loads((tmp_path / "mask.json").read_text())
    assert facts["sequences"] == "flair" and [one["method"] for one in facts["model"]["members"]] == ["gkd"]
    assert str(mask) in told.readouterr().out


def test_an_oddly_placed_file_too(shop, flair, tmp_path) -> None:
    scan = odd_scan(flair, tmp_path / "odd.nii")
    mask = tmp_path / "mask.nii"
    assert main(["predict", str(shop.student), "--flair", str(scan), "-o", str(mask)]) == 0
    lies_over(mask, scan)


def test_a_case_gives_what_its_files_give(shop, flair, tmp_path) -> None:
    """With all sequences there, the student takes FLAIR, and never looks at the others."""
    by_case, by_file = tmp_path / "case.nii.gz", tmp_path / "file.nii.gz"
    assert main(["predict", str(shop.student), "--case", str(flair.parent), "-o", str(by_case)]) == 0
    assert main(["predict", str(shop.student), "--flair", str(flair), "-o", str(by_file)]) == 0
    lies_over(by_case, flair)
    assert np.array_equal(np.asarray(nib.load(by_case).dataobj), np.asarray(nib.load(by_file).dataobj))


def test_student_and_generalist_become_one_model_with_all_their_facts(shop, flair, tmp_path) -> None:
    model = tmp_path / "model"
    assert main(["pack", str(shop.student), str(shop.generalist), "--out", str(model)]) == 0
    generalist, student = json.loads((model / "model.json").read_text())["members"]
    assert [generalist["name"], student["name"]] == [shop.generalist.name, shop.student.name]
    assert None not in student.values() and "unknown" not in (model / "README.md").read_text()
    packed, alone = tmp_path / "packed.nii.gz", tmp_path / "alone.nii.gz"
    scans = ["--flair", str(flair)]
    t1 = ["--t1", str(flair).replace("_flair", "_t1")]
    for words, run in ((scans, shop.student), ([*scans, *t1], shop.generalist)):
        assert main(["predict", str(model), *words, "-o", str(packed), "--overwrite"]) == 0
        assert main(["predict", str(run), *words, "-o", str(alone), "--overwrite"]) == 0
        assert np.array_equal(np.asarray(nib.load(packed).dataobj), np.asarray(nib.load(alone).dataobj))


def test_a_folder_gets_a_mask_for_every_patient(shop, told, tmp_path) -> None:
    words = ["predict", str(shop.generalist), "--folder", str(shop.phantoms), "--labels", "brats2023"]
    assert main([*words, "-o", str(tmp_path / "masks")]) == 0
    masks = sorted((tmp_path / "masks").glob("*.nii.gz"))
    assert [mask.name.removesuffix(".nii.gz") for mask in masks] == sorted(
        folder.name for folder in shop.phantoms.iterdir() if folder.is_dir()
    )
    for mask in masks:
        name = mask.name.removesuffix(".nii.gz")
        lies_over(mask, shop.phantoms / name / f"{name}_t2.nii.gz")
        assert set(np.unique(np.asarray(nib.load(mask).dataobj))) <= {0, 1, 2, 3}
    # Again: what is finished and unharmed is kept, what was changed since is no longer ours to replace.
    before = {mask: mask.stat().st_mtime_ns for mask in masks}
    told.readouterr()
    assert main([*words, "-o", str(tmp_path / "masks")]) == 0
    assert f"{len(masks)} of them from before" in told.readouterr().out
    assert {mask: mask.stat().st_mtime_ns for mask in masks} == before
    masks[0].write_bytes(masks[1].read_bytes())
    assert main([*words, "-o", str(tmp_path / "masks")]) == 6

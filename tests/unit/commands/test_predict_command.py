"""The command: what it takes, what it says, and what it refuses before the model is read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from segmenting import GRID, FalseModel, write_model, write_patient

from limbeck.anatomy import Modality
from limbeck.cli import main
from limbeck.errors import DataError
from limbeck.inference import model as models

USAGE, DATA, PARTIAL = 2, 3, 6


class Clinic:
    """Three patients, one without FLAIR, and a model that needs it and notes how it was asked."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys
        self.folder = root / "patients"
        self.out = root / "out"
        self.out.mkdir()
        for seed, name in enumerate(("anna", "bela")):
            write_patient(self.folder / name, seed)
        write_patient(self.folder / "cora", 2, [Modality.T2])
        self.flair = self.folder / "anna" / "anna_flair.nii.gz"
        self.model = FalseModel()
        self.loaded = 0

    def load(self, folder: Path, device: str) -> FalseModel:
        self.loaded += 1
        return self.model

    def predict(self, *words: object) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = main(["predict", str(self.root / "model"), *map(str, words)])
        said = self.capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def clinic(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Clinic:
    made = Clinic(tmp_path, capsys)
    monkeypatch.setattr(models.Model, "load", made.load)
    return made


def test_a_patient_gets_a_mask_and_a_line(clinic) -> None:
    code, out, err = clinic.predict("--flair", clinic.flair, "-o", clinic.out / "mask.nii.gz")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1 and "from flair by the specialist one; WT " in out
    assert sorted(path.name for path in clinic.out.iterdir()) == ["mask.json", "mask.nii.gz"]


def test_json_is_what_lies_beside_the_mask(clinic) -> None:
    mask = clinic.out / "mask.nii.gz"
    code, out, err = clinic.predict("--case", clinic.flair.parent, "-o", mask, "--json", "--probabilities")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"mask": str(mask), **json.loads((clinic.out / "mask.json").read_text())}


def test_a_real_model_takes_every_option(tmp_path, capsys) -> None:
    """Masks and codes of a small network, with everything asked for."""
    write_patient(tmp_path / "anna", 0)
    mask = tmp_path / "mask.nii.gz"
    words = ["--case", tmp_path / "anna", "-o", mask, "--layout", "brats", "--labels", "brats2023", "--probabilities"]
    words += ["--flips", "--min-enhancing", "1e9", "--resample", "--device", "cpu"]
    assert main(["predict", *map(str, [write_model(tmp_path / "model"), *words])]) == 0
    facts = json.loads((tmp_path / "mask.json").read_text())
    asked = {"labels": "brats2023", "probabilities": True, "flips": True, "min_enhancing_mm3": 1e9, "resample": True}
    assert facts["options"] == asked
    assert facts["volumes_ml"]["ET"] == 0 and 3 not in np.asarray(nib.load(mask).dataobj)
    assert nib.load(tmp_path / "mask_probabilities.nii.gz").shape == (*GRID.shape, 3)


def test_warnings_are_told_and_written(clinic) -> None:
    clinic.model.warns = ("t2 was given and not used", "the head is upside down")
    _, _, err = clinic.predict("--flair", clinic.flair, "-o", clinic.out / "mask.nii.gz")
    assert [line.split(": ")[1] for line in err.splitlines()] == ["warning", "warning"]
    assert json.loads((clinic.out / "mask.json").read_text())["warnings"] == list(clinic.model.warns)


def test_a_folder_lists_who_failed_and_writes_the_others(clinic) -> None:
    code, out, err = clinic.predict("--folder", clinic.folder, "-o", clinic.out / "masks")
    assert code == PARTIAL and f"2 of 3 masks in {clinic.out / 'masks'}" in out
    assert err.splitlines()[0] == "limbeck: 1 of 3 cases failed:"
    assert err.splitlines()[1].startswith("  cora: ") and "flair is missing" in err
    masks = [path.name for path in (clinic.out / "masks").glob("*.nii.gz")]
    assert sorted(masks) == ["anna.nii.gz", "bela.nii.gz"]
    code, out, _ = clinic.predict("--folder", clinic.folder, "-o", clinic.out / "masks", "--json")
    told = json.loads(out)
    assert code == PARTIAL and told["kept"] == ["anna", "bela"] and list(told["failed"]) == ["cora"]
    assert told["masks"]["anna"]["volumes_ml"] and set(told["masks"]) == {"anna", "bela"}


def test_a_table_names_patients_wherever_they_lie(clinic) -> None:
    lines = ["case,flair,t2", f"one,{clinic.flair},", f"two,,{clinic.folder / 'cora' / 'cora_t2.nii.gz'}"]
    table = clinic.root / "table.csv"
    table.write_text("\n".join(lines) + "\n")
    code, _, err = clinic.predict("--folder", table, "-o", clinic.out)
    assert code == PARTIAL and "  two: " in err
    assert (clinic.out / "one.nii.gz").exists()


def test_a_failure_of_several_lines_stays_one_line(clinic) -> None:
    def fail(name: str) -> None:
        raise DataError(f"{name}: bad\n{name}: worse")

    clinic.model.on_read = fail
    code, _, err = clinic.predict("--folder", clinic.folder, "-o", clinic.out)
    assert code == PARTIAL and len(err.splitlines()) == 4 and "anna: bad; anna: worse" in err


def test_names_with_spaces_and_letters_of_any_script(clinic) -> None:
    folder = clinic.root / "mes données" / "患者 eins"
    write_patient(folder, 5)
    out = clinic.root / "die Masken ö"
    code, _, err = clinic.predict("--folder", folder.parent, "-o", out)
    assert (code, err) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == ["患者 eins.json", "患者 eins.nii.gz"]


def refusals(clinic: Clinic) -> dict[str, tuple[int, str, list[object]]]:
    """Exit code, what is said, and the words that lead to it; there is a mask and a JSON in the way."""
    scan, mask, there = ["--flair", clinic.flair], clinic.out / "mask.nii.gz", clinic.out / "there.nii.gz"
    link = clinic.out / "link.nii.gz"
    link.symlink_to(clinic.flair)
    there.write_text("kept")
    (clinic.out / "told.json").write_text("kept")
    (clinic.out / "seen_probabilities.nii.gz").write_text("kept")
    return {
        "no way": (USAGE, "in one way", ["-o", mask]),
        "two ways": (USAGE, "in one way", [*scan, "--case", clinic.flair.parent, "-o", mask]),
        "three ways": (USAGE, "in one way", ["--case", "x", "--folder", "y", "-o", mask]),
        "a layout of files": (USAGE, "--layout goes with", [*scan, "--layout", "brats", "-o", mask]),
        "a mask for a folder": (USAGE, "go into a folder", ["--folder", clinic.folder, "-o", mask]),
        "no layout": (USAGE, "'brat'", ["--case", clinic.flair.parent, "--layout", "brat", "-o", mask]),
        "ending": (USAGE, ".nii.gz", [*scan, "-o", clinic.out / "mask.mhd"]),
        "no ending": (USAGE, ".nii.gz", [*scan, "-o", clinic.out / "mask"]),
        "a folder": (USAGE, "is a folder", [*scan, "-o", clinic.out]),
        "no folder": (USAGE, "no such folder", [*scan, "-o", clinic.out / "no" / "mask.nii.gz"]),
        "below a file": (USAGE, "is a file", ["--folder", clinic.folder, "-o", there / "masks"]),
        "mask there": (USAGE, "--overwrite", [*scan, "-o", there]),
        "json there": (USAGE, "--overwrite", [*scan, "-o", clinic.out / "told.nii.gz"]),
        "probabilities there": (USAGE, "--overwrite", [*scan, "-o", clinic.out / "seen.nii.gz", "--probabilities"]),
        "the scan": (USAGE, "a scan itself", [*scan, "-o", clinic.flair, "--overwrite"]),
        "a link": (USAGE, "a scan itself", [*scan, "-o", link, "--overwrite"]),
        "another scan": (
            *(USAGE, "a scan itself"),
            ["--case", clinic.flair.parent, "-o", clinic.flair.with_name("anna_t2.nii.gz"), "--overwrite"],
        ),
        "dicom of none": (USAGE, "DICOM series", [*scan, "-o", clinic.out / "mask.dcm"]),
        "volume": (USAGE, "mm3", [*scan, "-o", mask, "--min-enhancing", "-1"]),
        "infinite volume": (USAGE, "mm3", [*scan, "-o", mask, "--min-enhancing", "inf"]),
        "twice": (USAGE, "twice", [*scan, *scan, "-o", mask]),
        "several patients": (USAGE, "use --folder", ["--case", clinic.folder, "-o", mask]),
        "no scan": (DATA, "no such file", ["--flair", clinic.root / "none.nii.gz", "-o", mask]),
        "no case": (DATA, "no such folder", ["--case", clinic.root / "none", "-o", mask]),
        "no patients": (DATA, "no known layout", ["--folder", clinic.out, "-o", clinic.root / "masks"]),
    }


def test_what_cannot_be_is_refused_before_the_model_is_read(clinic) -> None:
    cases = refusals(clinic)
    before = {path: path.read_bytes() for path in clinic.root.rglob("*") if path.is_file()}
    for what, (expected, says, words) in cases.items():
        code, out, err = clinic.predict(*words)
        assert (code, out) == (expected, ""), what
        assert says in err and err.count("\n") == 1 and err.startswith("limbeck: "), (what, err)
    assert clinic.loaded == 0
    assert {path: path.read_bytes() for path in clinic.root.rglob("*") if path.is_file()} == before


def test_a_scan_without_its_sequence_is_said_to_have_been_taken_for_the_model(clinic, capsys) -> None:
    assert main(["predict", str(clinic.flair), "-o", str(clinic.out / "mask.nii.gz")]) == USAGE
    assert f"{clinic.flair} was taken for MODEL; give the patient in one way: --t1ce FILE" in capsys.readouterr().err


def test_scans_of_no_patient_are_told(clinic) -> None:
    clinic.flair.with_name("T2 TSE.nii.gz").write_bytes(clinic.flair.read_bytes())
    _, _, err = clinic.predict("--folder", clinic.folder, "-o", clinic.out / "masks")
    assert "warning: 1 image file is of no case, such as anna/T2 TSE.nii.gz: name it by its case" in err


def test_a_segmentation_beside_the_scans_is_no_place_for_a_mask(clinic) -> None:
    reference = clinic.flair.with_name("anna_seg.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(GRID.shape, np.uint8), GRID.affine), reference)
    code, _, err = clinic.predict("--case", clinic.flair.parent, "-o", reference, "--overwrite")
    assert code == USAGE and "a scan itself" in err


def test_refusing_needs_no_torch(clinic) -> None:
    probe = "import sys; from limbeck.cli import main; code = main(sys.argv[1:]); print('torch' in sys.modules, code)"
    words = ["predict", "model", "--flair", str(clinic.flair), "-o", str(clinic.flair)]
    done = subprocess.run([sys.executable, "-c", probe, *words], capture_output=True, text=True, check=False)
    assert done.stdout == f"False {USAGE}\n", done.stderr


def test_an_overwritten_mask_is_another(clinic) -> None:
    mask = clinic.out / "mask.nii.gz"
    words = ["--flair", clinic.flair, "-o", mask]
    assert clinic.predict(*words)[0] == 0
    before = mask.read_bytes()
    assert clinic.predict(*words)[0] == USAGE
    assert clinic.predict(*words, "--overwrite", "--labels", "msd")[0] == 0
    assert mask.read_bytes() != before
    assert json.loads((clinic.out / "mask.json").read_text())["options"]["labels"] == "msd"

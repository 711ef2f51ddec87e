"""Commands on spoilt files, and commands that are stopped anywhere: whole outputs or none, and one line."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nifti_files import spoil
from some_patients import copy_first

import limbeck
from limbeck.anatomy import Modality
from limbeck.cli import main
from limbeck.data.cohort import Cohort
from limbeck.data.preprocess import prepare
from limbeck.data.source import Source
from limbeck.data.volume import read_labels, read_volume
from limbeck.errors import DataError

# Some of what `make fuzz` tries.
_LONG = os.environ.get("LIMBECK_FUZZ") == "long"
_NUMBERS = range(20 if _LONG else 8)
_SCANS = range(100, 116 if _LONG else 108)
_STOPS = 8 if _LONG else 5
# A checkout may be called limbeck too, with the libraries' own code in it.
_PACKAGE = str(Path(limbeck.__file__).parent) + os.sep
_FAST = ["--width", "8", "--patch", "16,16,16", "--folds", "3", "--precision", "float32", "--device", "cpu"]
_READING = ["--spacing", "6", "--workers", "1"]


@dataclass(frozen=True)
class Made:
    """Three phantoms, their cohort, and a FLAIR student after one step."""

    phantoms: Path
    cohort: Path
    student: Path

    @property
    def cases(self) -> list[str]:
        return sorted(path.name for path in self.phantoms.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def made(five_patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("commands")
    three, cohort = root / "phantoms", root / "cohort"
    copy_first(five_patients, 3, three)
    assert run("import", three, *_READING, "--out", cohort) == 0
    training = ["train", "supervised", "--data", cohort, "--subset", "flair", "--out", root / "runs", "--steps", 1]
    assert run(*training, *_FAST) == 0
    return Made(three, cohort, next((root / "runs").iterdir()))


@pytest.fixture
def source(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.phantoms, tmp_path / "source"))


def run(*words: Any) -> int:
    return main([str(word) for word in words])


def lines(text: str) -> list[str]:
    """What was said, without the doubts that stop nothing."""
    assert "Traceback" not in text
    said = [line for line in text.splitlines() if "warning:" not in line and "is a guess" not in line]
    assert all(len(line) < 1200 for line in said)
    return said


def bad_files(source: Path) -> set[Path]:
    """The files that cannot be used, as their readers say."""
    found = set()
    for path in sorted(source.rglob("*.nii.gz")):
        try:
            if path.name.endswith("_seg.nii.gz"):
                read_labels(Source(path), "brats2018")
            else:
                read_volume(Source(path))
        except DataError:
            found.add(path)
    return found


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if ".tmp" in path.name or ".part" in path.name]


@pytest.mark.parametrize("number", _NUMBERS)
def test_a_data_set_with_a_spoilt_file_is_refused_by_its_name_and_leaves_nothing(
    number: int, made: Made, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(source.rglob("*.nii.gz"))
    spoilt = files[number * 7 % len(files)]
    spoil(spoilt, number)
    cohort = tmp_path / "cohort"
    capsys.readouterr()
    code = run("import", source, *_READING, "--out", cohort)
    said = lines(capsys.readouterr().err)
    assert code in ((3,) if spoilt in bad_files(source) else (0, 3))
    if code == 0:
        Cohort.open(cohort).verify()
    else:
        assert said[0].startswith("limbeck: ") and sum(str(spoilt) in line for line in said) >= 1
        assert not (cohort / "cohort.json").exists() and not (cohort / "cases").exists()
        _check_rest(source, spoilt, cohort, said)
    assert leftovers(tmp_path) == []
    capsys.readouterr()
    found = run("inspect", source, "--json")
    report = json.loads(capsys.readouterr().out)
    assert found in (0, 3) and (found == 3) >= (code == 3)
    assert (report["errors"] > 0) == (found == 3)


def _check_rest(source: Path, spoilt: Path, cohort: Path, said: list[str]) -> None:
    """The other cases can be imported without it."""
    if "labels" in said[0] or run("import", source, *_READING, "--skip-bad", "--out", cohort) != 0:
        return
    whole = Cohort.open(cohort)
    whole.verify()
    assert set(whole.skipped) == {spoilt.parent.name}


@pytest.mark.parametrize("number", _SCANS)
def test_a_mask_is_whole_or_absent_whatever_the_scans_are(
    number: int, made: Made, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = made.cases[number % 3]
    scan = source / case / f"{case}_flair.nii.gz"
    spoil(scan, number)
    try:
        prepare({Modality.FLAIR: Source(scan)}, 6.0)
        usable = True
    except DataError:
        usable = False
    out = tmp_path / "masks"
    capsys.readouterr()
    code = run("predict", made.student, "--folder", source, "-o", out, "--device", "cpu")
    said = lines(capsys.readouterr().err)
    masks = sorted(path.name.removesuffix(".nii.gz") for path in out.glob("*.nii.gz"))
    assert set(made.cases) - {case} <= set(masks)
    # The other sequences of the case are not read, but a scan on another grid than theirs may be refused.
    assert code == (0 if case in masks else 6)
    assert usable or case not in masks
    if code == 6:
        assert said[0].startswith("limbeck: 1 of 3 cases failed") and case in said[1] and str(scan) in said[1]
    for mask in out.glob("*.nii.gz"):
        scanned: Any = nib.load(source / mask.name.removesuffix(".nii.gz") / mask.name.replace(".nii", "_flair.nii"))
        image: Any = nib.load(mask)
        assert image.shape == scanned.shape[:3]
        assert np.isin(np.asarray(image.dataobj), (0, 1, 2, 4)).all()
        assert json.loads(mask.with_name(mask.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
    assert leftovers(tmp_path) == []
    single = tmp_path / "mask.nii.gz"
    code = run("predict", made.student, "--flair", scan, "-o", single, "--device", "cpu")
    said = lines(capsys.readouterr().err)
    assert code == (0 if usable else 3)
    assert single.exists() == usable and (tmp_path / "mask.json").exists() == usable
    assert usable or (len(said) == 1 and str(scan) in said[0])


class Stop:
    """Ctrl-C at the n-th call of a function of Limbeck's; without a number it counts them."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.calls = at, 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(_PACKAGE):
            self.calls += 1
            if self.calls == self.at:
                raise KeyboardInterrupt

    def run(self, *words: Any) -> int:
        sys.setprofile(self)
        try:
            return run(*words)
        finally:
            sys.setprofile(None)


def test_an_import_that_is_stopped_anywhere_leaves_no_cohort_and_goes_on(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["import", made.phantoms, *_READING, "--out"]
    counting = Stop()
    assert counting.run(*words, tmp_path / "counted") == 0
    wanted = Cohort.open(made.cohort).hash
    for at in np.linspace(5, counting.calls - 5, _STOPS).astype(int):
        out = tmp_path / f"stopped-{at}"
        capsys.readouterr()
        code = Stop(int(at)).run(*words, out)
        assert code in (0, 130)
        assert len(lines(capsys.readouterr().err)) <= 1
        if code == 0 or (out / "cohort.json").exists():
            Cohort.open(out).verify()
        assert [path for path in leftovers(out) if path.is_file() and ".staging" not in path.parts] == []
        assert run(*words, out) == 0
        assert Cohort.open(out).hash == wanted
        Cohort.open(out).verify()
        assert not (out / ".staging").exists()


def test_a_prediction_that_is_stopped_anywhere_leaves_whole_masks_and_goes_on(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", made.student, "--folder", made.phantoms, "--device", "cpu", "-o"]
    counting = Stop()
    assert counting.run(*words, tmp_path / "counted") == 0
    wanted = {path.name: path.read_bytes() for path in (tmp_path / "counted").glob("*.nii.gz")}
    for at in np.linspace(5, counting.calls - 5, _STOPS).astype(int):
        out = tmp_path / f"stopped-{at}"
        capsys.readouterr()
        code = Stop(int(at)).run(*words, out)
        assert code in (0, 130)
        assert len(lines(capsys.readouterr().err)) <= 1
        for mask in out.glob("*.nii.gz"):
            assert mask.read_bytes() == wanted[mask.name]
            assert mask.with_name(mask.name.replace(".nii.gz", ".json")).exists()
        assert leftovers(tmp_path) == []
        assert run(*words, out) == 0
        assert {path.name: path.read_bytes() for path in out.glob("*.nii.gz")} == wanted


@pytest.mark.parametrize("name", ["-dash $HOME `x` a'b\"c [brackets] *?", "脳 Größe", "a\udcffb"])
def test_names_that_shells_and_globs_trip_over_are_names(name: str, made: Made, tmp_path: Path) -> None:
    source = Path(shutil.copytree(made.phantoms, tmp_path / name / "source"))
    assert run("inspect", source) == 0
    assert run("inspect", source, "--json") == 0
    assert run("import", source, *_READING, "--out", tmp_path / name / "cohort") == 0
    assert Cohort.open(tmp_path / name / "cohort").hash == Cohort.open(made.cohort).hash
    scan = source / made.cases[0] / f"{made.cases[0]}_flair.nii.gz"
    mask = tmp_path / name / f"{name.strip('-')}.nii.gz"
    assert run("predict", made.student, "--flair", scan, "-o", mask, "--device", "cpu") == 0
    assert read_labels(Source(mask), "brats2018")[0].shape == nib.load(scan).shape


def test_a_line_break_in_a_path_does_not_break_the_line(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = tmp_path / "one\ntwo.nii.gz"
    scan.write_bytes(gzip.compress(b"nothing"))
    capsys.readouterr()
    assert run("predict", made.student, "--flair", scan, "-o", tmp_path / "mask.nii.gz", "--device", "cpu") == 3
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_output_that_exists_is_kept_unless_told(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = made.phantoms / made.cases[0] / f"{made.cases[0]}_flair.nii.gz"
    mask = tmp_path / "mask.nii.gz"
    mask.write_bytes(b"mine")
    words = ["predict", made.student, "--flair", scan, "-o", mask, "--device", "cpu"]
    capsys.readouterr()
    assert run(*words) == 2
    assert "--overwrite" in capsys.readouterr().err and mask.read_bytes() == b"mine"
    assert run(*words, "--overwrite") == 0
    assert mask.read_bytes() != b"mine"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the owners of Unix")
def test_an_output_folder_that_may_not_be_written_is_one_line(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    # Open to all, unlike the folders of pytest.
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        source, student = (Path(shutil.copytree(path, root / path.name)) for path in (made.phantoms, made.student))
        closed = root / "closed"
        closed.mkdir(mode=0o555)
        scan = next(source.rglob("*_flair.nii.gz"))
        commands = [
            ["import", source, *_READING, "--out"],
            ["predict", student, "--device", "cpu", "--folder", source, "-o"],
            ["predict", student, "--device", "cpu", "--flair", scan, "-o"],
        ]
        for number, words in enumerate(commands):
            out = "mask.nii.gz" if "--flair" in words else f"out-{number}"
            # What is imported late is imported now: nobody may read root's Python.
            assert run(*words, root / out) == 0
            capsys.readouterr()
            owner = os.geteuid()
            # Nothing is forbidden to root, so it is nobody for a moment.
            os.seteuid(65534 if owner == 0 else owner)
            try:
                code = run(*words, closed / out)
            finally:
                os.seteuid(owner)
            said = lines(capsys.readouterr().err)
            assert code in (5, 6) and len(said) <= 1 + 3 * (code == 6)
            assert "ermission" in said[-1] and "closed" in said[-1]
            assert list(closed.iterdir()) == []
        closed.chmod(0o755)

"""One data set with one of each fault: each is told, once, with its remedy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.data import inspection_case
from limbeck.data.inspection import inspect
from limbeck.phantom.patient import make

SPACING = 5.0
AFFINE = np.diag([-SPACING, -SPACING, SPACING, 1.0])
ROLES = tuple(modality.role for modality in Modality)


@dataclass
class Broken:
    """A data set in BraTS's folders, of cases that differ from one patient by a little more light."""

    folder: Path
    images: dict
    codes: np.ndarray
    save: object
    made: int = 0

    def case(self, name, images=None, codes=None, affine=AFFINE, code=1):
        self.made += 1
        for role in ROLES:
            image = (images or {}).get(role, self.images[role])
            if image is not None:
                lit = np.where(image != 0, image * (1 + 0.01 * self.made), 0)
                own = image if image.dtype == np.float32 else lit.round().astype(np.int16)
                self.save(self.folder / name / f"{name}_{role}.nii", own, affine, code)
        # Each reader draws a voxel differently.
        codes = (self.codes if codes is None else codes).copy()
        codes[tuple(np.argwhere(codes == 1)[self.made])] = 2
        self.save(self.folder / name / f"{name}_seg.nii", codes, affine, code)
        return self.folder / name


@pytest.fixture(scope="module")
def patient():
    return make(11, 2, SPACING)


@pytest.fixture
def broken(tmp_path, phantoms, patient):
    images = {modality.role: patient.images[modality].round() for modality in Modality}
    images = {role: image.astype(np.int16) for role, image in images.items()}
    codes = np.array([0, 1, 2, 4], np.uint8)[patient.labels]
    return Broken(tmp_path / "data", images, codes, phantoms.save)


def spoil_files(data):
    """Cases whose files are bad or missing; for each the severity and the words of its findings."""
    images = data.images
    (data.case("missing") / "missing_t1ce.nii").unlink()
    (data.case("unsegmented") / "unsegmented_seg.nii").unlink()
    data.case("shape", {"t1": images["t1"][1:]})
    tilted = AFFINE.copy()
    tilted[0, 1] = 0.02
    data.save(data.case("moved") / "moved_t2.nii", images["t2"], tilted)
    for name, value in (("nan", np.nan), ("infinite", np.inf)):
        spoilt = images["flair"].astype(np.float32)
        spoilt[5, 5, 5] = value
        data.case(name, {"flair": spoilt})
    data.case("constant", {"t2": np.zeros_like(images["t2"], np.float32)})
    folder = data.case("twin")
    data.save(folder / "twin_t1ce.nii", images["t1"], AFFINE)
    data.save(folder / "twin_t1.nii", images["t1"], AFFINE)
    data.case("unplaced", code=0)
    return {
        "missing": [("warning", "no t1ce")],
        "unsegmented": [("warning", "no segmentation")],
        "shape": [("error", "shape 47 x 48 x 31 instead of 48 x 48 x 31")],
        "moved": [("error", "mm apart at the farthest corner")],
        "nan": [("error", "1 voxels are NaN or infinite")],
        "infinite": [("error", "1 voxels are NaN or infinite")],
        "constant": [("error", "every voxel is 0")],
        "twin": [("error", "the same image as t1")],
        "unplaced": [("warning", "all sequences: neither qform nor sform")],
    }


def spoil_content(data):
    """Cases whose files can be read, but whose images or segmentations are wrong."""
    images, codes = data.images, data.codes
    noise = np.random.default_rng(0).integers(1, 50, images["t1"].shape)
    data.case("unstripped", {"t1": (images["t1"] + noise).astype(np.int16)})
    data.case("mirrored", {"t1ce": images["t1ce"][::-1]})
    data.case("swapped", {"t1": images["t2"], "t2": images["t1"]})
    data.case("unknown", codes=np.where(codes == 2, 7, codes).astype(np.uint8))
    data.case("outside", codes=np.roll(codes, 20, axis=1))
    soft = codes.astype(np.float32)
    soft[:-1] = (soft[:-1] + soft[1:]) / 2
    data.case("soft", codes=soft)
    skin = codes.copy()
    skin[(codes == 4) & (np.roll(codes, 1, 0) != 4)] = 3
    data.case("skin", codes=skin)
    return {
        "unstripped": [("warning", "t1: 100% of the voxels are not 0")],
        "mirrored": [("warning", "t1ce looks mirrored (left-right)")],
        "swapped": [("warning", "t1 and t2 look swapped")],
        "unknown": [("error", "unknown label 7")],
        "outside": [("warning", "of the labelled voxels lie outside the head")],
        "soft": [("error", "voxels between the codes")],
        "skin": [("error", "unknown label 3, a thin layer between others")],
    }


def spoil_peers(data):
    """Cases that are odd beside the others alone."""
    data.case("repeated")
    for role in ROLES:
        original = data.folder / "good0" / f"good0_{role}.nii"
        (data.folder / "repeated" / f"repeated_{role}.nii").write_bytes(original.read_bytes())
    (data.case("lent") / "lent_seg.nii").write_bytes((data.folder / "good1" / "good1_seg.nii").read_bytes())
    turned = {role: image[::-1] for role, image in data.images.items()}
    data.case("turned", turned, data.codes[::-1], np.diag([SPACING, -SPACING, SPACING, 1.0]))
    data.case("small", affine=np.diag([-4.0, -4.0, 4.0, 1.0]))
    return {
        "repeated": [("warning", "the same flair, t1, t1ce, t2 as good0")],
        "lent": [("warning", "the same segmentation as good1")],
        "turned": [("warning", "axes point to RPS, in")],
        "small": [("warning", "voxels of 4 x 4 x 4 mm, in"), ("warning", "ml, the others")],
    }


def test_each_fault_is_told_once_with_its_remedy(broken, monkeypatch):
    # Coarse patients are quick to look at; that their slices are thick is no fault here.
    monkeypatch.setattr(inspection_case, "_THICK_MM", 2 * SPACING)
    for number in range(4):
        broken.case(f"good{number}")
    expected = {**spoil_files(broken), **spoil_content(broken), **spoil_peers(broken)}
    report = inspect(broken.folder, scheme="brats2018", workers=1)
    found = {case: [] for case in expected}
    for finding in report.findings:
        assert finding.remedy, finding
        assert finding.file == "" or finding.what.startswith(f"{finding.file}: ")
        found.setdefault(finding.case, []).append((finding.severity, finding.what))
    for case, faults in found.items():
        wanted = expected.get(case, [])
        assert len(faults) == len(wanted), (case, faults)
        for severity, words in wanted:
            assert any(severity == how and words in what for how, what in faults), (case, faults)
    assert Counter(finding.case for finding in report.findings)["good0"] == 0
    assert report.errors == sum(severity == "error" for faults in expected.values() for severity, _ in faults)

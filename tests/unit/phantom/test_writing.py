"""A cohort on disk has the names, codes and geometry of the data set whose layout it takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from limbeck.anatomy import LABEL_SCHEMES, Modality
from limbeck.errors import DataError, UsageError
from limbeck.phantom import cohort
from limbeck.phantom.patient import make

SPACING = 5.0


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nib.load(path)
    return np.asanyarray(image.dataobj), image.affine


def in_own_codes(array: np.ndarray, scheme: str) -> np.ndarray:
    out = np.zeros(array.shape, np.uint8)
    for code, label in LABEL_SCHEMES[scheme].items():
        out[array == code] = label
    return out


def test_brats2021_round_trip(tmp_path: Path) -> None:
    names = cohort.write(tmp_path / "out", 2, seed=3, spacing_mm=SPACING, workers=1)
    assert names == ["BraTS2021_00001", "BraTS2021_00002"]
    for index, name in enumerate(names[:1]):
        patient = make(3, index, SPACING)
        folder = tmp_path / "out" / name
        assert sorted(p.name for p in folder.iterdir()) == sorted(
            f"{name}_{role}.nii.gz" for role in ("flair", "t1", "t1ce", "t2", "seg")
        )
        for modality in Modality:
            array, affine = read(folder / f"{name}_{modality.role}.nii.gz")
            assert array.dtype == np.int16
            assert np.array_equal(array, np.rint(np.clip(patient.images[modality], 0, 32767)))
            assert np.array_equal(affine, [[-5, 0, 0, 0], [0, -5, 0, 47 * 5], [0, 0, 5, 0], [0, 0, 0, 1]])
        seg, _ = read(folder / f"{name}_seg.nii.gz")
        assert seg.dtype == np.uint8
        assert 3 not in seg
        assert np.array_equal(in_own_codes(seg, "brats2018"), patient.labels)


def test_brats2018_sorts_by_grade(tmp_path: Path) -> None:
    names = cohort.write(tmp_path, 3, seed=1, layout="brats2018", spacing_mm=SPACING, workers=1)
    assert names == ["Brats18_PH_1_1", "Brats18_PH_2_1", "Brats18_PH_3_1"]
    for name in names:
        (folder,) = [tmp_path / g / name for g in ("HGG", "LGG") if (tmp_path / g / name).is_dir()]
        seg, _ = read(folder / f"{name}_seg.nii.gz")
        assert (4 in seg) == (folder.parent.name == "HGG")


def test_msd_is_one_turned_stack_in_its_own_codes(tmp_path: Path) -> None:
    cohort.write(tmp_path, 1, seed=3, layout="msd", spacing_mm=SPACING, workers=1)
    patient = make(3, 0, SPACING)
    stack, affine = read(tmp_path / "imagesTr" / "BRATS_001.nii.gz")
    seg, _ = read(tmp_path / "labelsTr" / "BRATS_001.nii.gz")
    assert np.array_equal(affine, np.diag([5.0, 5.0, 5.0, 1.0]))
    assert np.array_equal(in_own_codes(seg, "msd")[::-1, ::-1], patient.labels)
    for channel, modality in enumerate((Modality.FLAIR, Modality.T1, Modality.T1CE, Modality.T2)):
        assert np.array_equal(stack[::-1, ::-1, :, channel] > 0, patient.images[modality] > 0)
        assert np.array_equal(stack[::-1, ::-1, :, channel], np.rint(np.clip(patient.images[modality], 0, 32767)))
    listing = json.loads((tmp_path / "dataset.json").read_text())
    assert listing["training"] == [{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}]
    assert listing["modality"] == {"0": "FLAIR", "1": "T1w", "2": "T1gd", "3": "T2w"}


def test_running_again_keeps_what_is_whole_and_makes_what_is_missing(tmp_path: Path) -> None:
    cohort.write(tmp_path, 2, spacing_mm=SPACING, workers=1)
    kept = tmp_path / "BraTS2021_00001" / "BraTS2021_00001_t2.nii.gz"
    before = kept.stat().st_mtime_ns
    for path in (tmp_path / "BraTS2021_00002").iterdir():
        path.unlink()
    (tmp_path / "BraTS2021_00002").rmdir()
    (tmp_path / ".BraTS2021_00002.part").mkdir()
    seen: list[tuple[int, int]] = []
    cohort.write(tmp_path, 3, spacing_mm=SPACING, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert kept.stat().st_mtime_ns == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "BraTS2021_00001",
        "BraTS2021_00002",
        "BraTS2021_00003",
        "phantoms.json",
    ]


def test_an_interrupted_run_goes_on_with_its_own_settings_only(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cohort.write(tmp_path, 2, spacing_mm=SPACING, workers=1, progress=stop)
    assert not (tmp_path / "phantoms.json").exists()
    with pytest.raises(UsageError, match="seed 0, not 9"):
        cohort.write(tmp_path, 2, seed=9, spacing_mm=SPACING, workers=1)
    assert len(cohort.write(tmp_path, 2, spacing_mm=SPACING, workers=1)) == 2
    assert json.loads((tmp_path / "phantoms.json").read_text())["cases"] == 2


def test_a_run_that_was_killed_before_its_first_case_goes_on(tmp_path: Path) -> None:
    # As `durable` names what it has in hand: a killed process had just begun to claim the folder.
    (tmp_path / ".0123456789ab.tmp..phantoms.json").write_text("{")
    assert len(cohort.write(tmp_path, 1, spacing_mm=SPACING, workers=1)) == 1
    other = tmp_path / "other"
    other.mkdir()
    (other / ".mine").touch()
    with pytest.raises(UsageError, match="holds other files"):
        cohort.write(other, 1, spacing_mm=SPACING, workers=1)


def test_a_subject_whose_masks_alone_were_written_gets_its_images(tmp_path: Path) -> None:
    cohort.write(tmp_path / "whole", 1, layout="bids", spacing_mm=SPACING, workers=1)
    cohort.write(tmp_path / "killed", 1, layout="bids", spacing_mm=SPACING, workers=1)
    shutil.rmtree(tmp_path / "killed" / "sub-001")
    cohort.write(tmp_path / "killed", 1, layout="bids", spacing_mm=SPACING, workers=1)
    found, right = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.nii.gz")}
        for folder in (tmp_path / "killed", tmp_path / "whole")
    )
    assert found == right and len(right) == 5


@pytest.mark.parametrize(
    ("cases", "settings", "message"),
    [
        (0, {}, "at least one case, not 0"),
        (1, {"layout": "brats2012"}, r"unknown layout 'brats2012'.*did you mean 'brats20"),
        (1, {"spacing_mm": 0.0}, "spacing of 0.0 mm"),
        (1, {"spacing_mm": float("nan")}, "spacing of nan mm"),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, cases: int, settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cohort.write(tmp_path / "out", cases, **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "BraTS2021_00001").mkdir()
    with pytest.raises(UsageError, match="holds other files"):
        cohort.write(tmp_path, 1, spacing_mm=SPACING)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        cohort.write(file, 1, spacing_mm=SPACING)


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_damaged_record_is_data(content: str, tmp_path: Path) -> None:
    (tmp_path / "phantoms.json").write_text(content)
    with pytest.raises(DataError, match=r"phantoms\.json is damaged"):
        cohort.write(tmp_path, 1, seed=3, spacing_mm=SPACING, workers=1)


def test_a_folder_with_more_than_was_asked_for_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "phantoms.json").write_text(json.dumps({"cases": 3}))
    cohort.refuse_more(tmp_path, 3)
    cohort.refuse_more(tmp_path / "elsewhere", 0)
    with pytest.raises(UsageError, match="holds 3 phantoms, 2 were asked for"):
        cohort.refuse_more(tmp_path, 2)

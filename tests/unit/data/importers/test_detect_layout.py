import os
import time

import pytest

from limbeck.anatomy import Modality
from limbeck.data.case import Case, Source
from limbeck.data.importers import IMPORTERS, detect_layout
from limbeck.data.importers.census import census
from limbeck.data.importers.files import files
from limbeck.errors import DataError, UsageError


def test_which_layout(tmp_path, brats, decathlon):
    with pytest.raises(DataError, match="no such folder"):
        detect_layout(tmp_path / "none")
    with pytest.raises(UsageError, match="did you mean 'brats'"):
        detect_layout(brats, "bratz")
    importer, explanation = detect_layout(brats, "msd")
    assert (importer.name, explanation) == ("msd", "layout msd, as told")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no known layout: looked for .*dataset\.json.*sub-\*.*<case>_t1ce.*CSV"):
        detect_layout(tmp_path / "empty")
    (brats / "HGG").rename(decathlon / "HGG")
    importer, explanation = detect_layout(decathlon)
    assert importer.name == "msd"
    assert "; brats would fit too: choose with --layout" in explanation


def test_names_that_no_layout_has_are_shown_with_the_remedy(tmp_path):
    for name in ("MPRAGE_post.nii.gz", "T2_TSE.nii.gz"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"no known layout in 2 image files, such as MPRAGE_post\.nii\.gz: name it by"):
        detect_layout(tmp_path)
    (tmp_path / "cohort.json").touch()
    with pytest.raises(DataError, match="it is a cohort already"):
        detect_layout(tmp_path)


def test_files_of_no_case_are_told(tmp_path):
    (tmp_path / "P3").mkdir()
    for name in (
        "P1_flair.nii.gz",
        "P1-T2-TSE.nii.gz",
        "P3/t1_gd.nii.gz",
        "P1_ce_T1.nii.gz",
        "P1_seg.nii.gz",
        "a_b.txt",
    ):
        (tmp_path / name).touch()
    importer, _ = detect_layout(tmp_path)
    remedy = "name it by its case and one word for the sequence, such as P001_t1ce, or list files in a table"
    two = "2 image files are of no case, such as P1-T2-TSE.nii.gz and P3/t1_gd.nii.gz"
    assert importer.overlooked(tmp_path) == (two, remedy)
    (tmp_path / "P3" / "t1_gd.nii.gz").unlink()
    assert importer.overlooked(tmp_path) == ("1 image file is of no case, such as P1-T2-TSE.nii.gz", remedy)
    (tmp_path / "P1-T2-TSE.nii.gz").unlink()
    assert importer.overlooked(tmp_path) is None


def test_names_under_which_importers_stand():
    assert all(importer.name == name for name, importer in IMPORTERS.items())


def test_hidden_files_and_those_that_are_no_images_are_ignored(tmp_path):
    (tmp_path / ".hidden").mkdir()
    for name in ("._a_t1.nii.gz", ".hidden/a_t1.nii.gz", "a_t1.txt", "a_t1.png", "t1.nii.gz", "a_t1.nii.gz.part"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="no known layout"):
        detect_layout(tmp_path)


def test_loops_of_links_end_and_no_folder_counts_twice(tmp_path, brats):
    count = len(IMPORTERS["brats"].find(brats))
    (brats / "HGG" / "back").symlink_to(brats)
    (brats / "AAA").symlink_to(brats / "HGG")
    (brats / "itself").symlink_to(brats / "itself")
    assert len(IMPORTERS["brats"].find(brats)) == count
    assert sorted(files(brats, 9)) == sorted(
        [path for path in brats.rglob("*") if path.is_file() and "AAA" not in path.parts and "back" not in path.parts]
        + [brats / "itself"]
    )


def test_folders_and_files_that_are_links_are_followed(tmp_path, brats):
    (tmp_path / "linked").symlink_to(brats)
    assert len(IMPORTERS["brats"].find(tmp_path / "linked")) == 5
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "case").symlink_to(brats / "HGG" / "Brats18_P1_1")
    assert [case.id for case in IMPORTERS["brats"].find(tmp_path / "one")] == ["Brats18_P1_1"]


def test_a_lost_scan_is_no_missing_sequence(tmp_path, brats):
    """As in data sets that keep content elsewhere and links in its place."""
    path = brats / "HGG" / "Brats18_P1_1" / "Brats18_P1_1_t1.nii.gz"
    path.unlink()
    path.symlink_to(tmp_path / "not fetched")
    case = IMPORTERS["brats"].find(brats)[1]
    assert case.images[Modality.T1].path == path


def test_a_folder_that_cannot_be_read_is_said_in_a_line(brats, monkeypatch):
    usual = os.scandir

    def scandir(path):
        if str(path).endswith("HGG"):
            raise PermissionError(13, "Permission denied")
        return usual(path)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(DataError, match=r"HGG: cannot be read \(Permission denied\): check its permissions$"):
        detect_layout(brats)


@pytest.mark.parametrize("layout", ["brats", "bids"])
def test_detection_is_quick_on_many_cases(tmp_path, layout):
    """1,251 cases as in BraTS 2021; by the time of the processor, whatever else the machine does."""
    for number in range(1251):
        name = f"{'sub-' if layout == 'bids' else 'BraTS2021_'}{number:05d}"
        (tmp_path / name).mkdir()
        for role in ("FLAIR", "T1w", "ce-gd_T1w", "T2w") if layout == "bids" else ("flair", "t1", "t1ce", "t2", "seg"):
            (tmp_path / name / f"{name}_{role}.nii.gz").touch()
    started = time.process_time()
    importer, _ = detect_layout(tmp_path)
    cases = importer.find(tmp_path)
    assert (importer.name, len(cases)) == (layout, 1251)
    assert all(case.present == (True,) * 4 for case in cases)
    assert time.process_time() - started < 3


def test_what_the_cases_lack_is_counted(tmp_path):
    def case(name, patient, *roles, labels=True):
        source = Source(tmp_path / "x")
        return Case(name, patient, {Modality.parse(role): source for role in roles}, source if labels else None)

    full = ("flair", "t1", "t1ce", "t2")
    cases = [case("a", "P", *full), case("b", "P", "t1", "t2"), case("c", "Q", "flair", "t1", "t2", labels=False)]
    assert census(cases) == "3 cases of 2 patients; 1 of 3 lacks flair; 2 of 3 lack t1ce; 1 of 3 lacks a segmentation"
    assert census(cases[:1]) == "1 case"

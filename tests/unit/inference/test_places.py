"""Where results may not go, and what may not be read: told before any work."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from segmenting import jobs_of, write_patient

from limbeck.anatomy import Modality
from limbeck.data.source import Source
from limbeck.errors import DataError, ResourceError, UsageError
from limbeck.inference.files import ENDINGS, Files, Options
from limbeck.inference.folder import Job
from limbeck.inference.places import check_case_names, check_format, check_places, check_scans

PLAIN = Options()


@pytest.fixture
def scans(tmp_path: Path) -> dict[Modality, Source]:
    return write_patient(tmp_path / "scans", 0)


def job(scans: dict[Modality, Source], mask: Path) -> Job:
    return Job("patient", scans, Files(mask))


def inputs(scans: dict[Modality, Source]) -> list[Path]:
    return [source.path for source in scans.values()]


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/a", "../a", "a\\b", "a\0b", "a\nb"])
def test_a_case_whose_name_leads_elsewhere_is_data(name) -> None:
    with pytest.raises(DataError, match="no plain file name"):
        check_case_names(["good", name])


def test_any_plain_name_is_fine() -> None:
    check_case_names(["sub-01_ses-2", "Größe 3", "患者", "a.b", "-o"])


def linked(scan: Path, place: Path) -> Path:
    place.symlink_to(scan)
    return place


def hard_linked(scan: Path, place: Path) -> Path:
    os.link(scan, place)
    return place


def through_a_folder(scan: Path, place: Path) -> Path:
    place.parent.joinpath("door").symlink_to(scan.parent)
    return place.parent / "door" / scan.name


@pytest.mark.parametrize(
    "alias",
    [lambda scan, place: scan, linked, hard_linked, through_a_folder],
    ids=["itself", "symbolic", "hard", "folder"],
)
def test_no_result_replaces_a_scan_whatever_its_name(alias, scans, tmp_path) -> None:
    place = alias(scans[Modality.T1].path, tmp_path / "mask.nii.gz")
    with pytest.raises(UsageError, match="is a scan itself"):
        check_places([job(scans, place)], inputs(scans), PLAIN)


def test_probabilities_replace_no_scan_either(scans, tmp_path) -> None:
    scan = scans[Modality.T1].path.rename(tmp_path / "mask_probabilities.nii.gz")
    check_places([job(scans, tmp_path / "mask.nii.gz")], [scan], PLAIN)
    with pytest.raises(UsageError, match="is a scan itself"):
        check_places([job(scans, tmp_path / "mask.nii.gz")], [scan], Options(probabilities=True))


def test_two_results_never_share_a_file(scans, tmp_path) -> None:
    jobs = jobs_of({"a": scans, "a_probabilities": scans}, tmp_path)
    check_places(jobs, [], PLAIN)
    with pytest.raises(UsageError, match="two results"):
        check_places(jobs, [], Options(probabilities=True))


def test_no_result_lies_in_a_series(scans, tmp_path) -> None:
    series = tmp_path / "series"
    series.mkdir()
    (tmp_path / "door").symlink_to(series)
    for folder in (series, tmp_path / "door"):
        with pytest.raises(UsageError, match="is a DICOM series"):
            check_places([job(scans, folder / "mask.nii.gz")], [series], PLAIN)


def test_a_place_that_may_not_be_written_to_is_resource(scans, tmp_path, monkeypatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(os, "access", lambda path, mode: bool(asked.append(path)))
    with pytest.raises(ResourceError, match="no permission to write"):
        check_places([job(scans, tmp_path / "new" / "newer" / "mask.nii.gz")], [], PLAIN)
    assert asked == [tmp_path], "the folder that is there already"


def test_dicom_comes_of_dicom_alone(scans, tmp_path) -> None:
    with pytest.raises(UsageError, match="DICOM is written over a DICOM series"):
        check_format(job(scans, tmp_path / "mask.dcm"))
    check_format(job({Modality.T1: Source(tmp_path)}, tmp_path / "mask.dcm"))


def test_only_dicom_needs_an_extra_to_be_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    scans = {Modality.T1: Source(tmp_path)}
    with pytest.raises(UsageError, match=r"mask\.dcm: needs highdicom: pip install 'limbeck\[dicom\]'"):
        check_format(job(scans, tmp_path / "mask.dcm"))
    for ending in ENDINGS:
        if ending != ".dcm":
            check_format(job(scans, tmp_path / f"mask{ending}"))


def test_a_missing_scan_is_data(scans, tmp_path) -> None:
    check_scans(job(scans, tmp_path / "mask.nii.gz"))
    scans[Modality.T2].path.unlink()
    with pytest.raises(DataError, match="no such file: expected the t2 scan"):
        check_scans(job(scans, tmp_path / "mask.nii.gz"))


def test_a_name_too_long_for_any_file_is_no_file(scans, tmp_path) -> None:
    long = {**scans, Modality.T1: Source(Path("a" * 300 + ".nii.gz"))}
    check_places([job(long, tmp_path / "mask.nii.gz")], inputs(long), PLAIN)
    with pytest.raises(DataError, match="no such file: expected the t1 scan"):
        check_scans(job(long, tmp_path / "mask.nii.gz"))

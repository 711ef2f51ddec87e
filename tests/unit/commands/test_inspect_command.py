"""`limbeck inspect` as its user sees it: readable on a narrow screen, complete for machines, and its exit code."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from limbeck.cli import main
from limbeck.commands.inspect_data import _names
from limbeck.data.findings import Finding, folded
from limbeck.phantom.cohort import write

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "inspect.md"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspect") / "DATA"
    write(folder, 3, seed=5, spacing_mm=6, workers=1)
    return folder


@pytest.fixture
def data(sound, tmp_path, monkeypatch):
    """A copy that may be spoilt, seen from beside it on a screen of 80 columns."""
    shutil.copytree(sound, tmp_path / "DATA")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return Path("DATA")


def file(data, number, role):
    return data / f"BraTS2021_{number:05d}" / f"BraTS2021_{number:05d}_{role}.nii.gz"


def relabel(path, old, new):
    image = nib.load(path)
    codes = np.asanyarray(image.dataobj).copy()
    codes[codes == old] = new
    nib.save(nib.Nifti1Image(codes, image.affine, image.header), path)


def inspected(capsys, *words):
    code = main(["inspect", *map(str, words)])
    return code, capsys.readouterr().out


def test_a_sound_data_set_has_nothing_to_mend_but_thick_slices_told_once(data, capsys):
    code, text = inspected(capsys, data)
    assert code == 0
    assert "3 cases, 0 errors, 3 warnings" in text
    assert text.count("warning ") == 1
    assert "3 cases:" in text


def test_tables_fit_a_screen_of_80_columns(data, capsys):
    file(data, 1, "t1ce").unlink()
    _, text = inspected(capsys, data)
    explanation, *tables = text.splitlines()
    assert explanation.startswith("DATA: layout brats")
    assert max(map(len, tables)) <= 80
    row = next(line for line in tables if line.strip().startswith("BraTS2021_00001"))
    assert row.split()[:4] == ["BraTS2021_00001", "flair+t1+t2", "40x40x26", "6"]


def test_an_error_decides_the_exit_code_and_stands_first(data, capsys):
    file(data, 2, "t1ce").unlink()
    relabel(file(data, 3, "seg"), 2, 7)
    code, text = inspected(capsys, data)
    assert code == 3
    severities = re.findall(r"^ (error|warning) ", text, re.MULTILINE)
    assert severities == ["error", "warning", "warning"]


def test_equal_findings_list_their_cases_and_long_lists_are_cut(capsys):
    findings = [Finding(f"P{number}", "warning", "no t1ce", "fine") for number in range(14)]
    findings.append(Finding("P3", "error", "P3/a.nii: damaged", "copy it again", "P3/a.nii"))
    findings.append(Finding("P4", "error", "P4/b.nii: damaged", "copy it again", "P4/b.nii"))
    findings.append(Finding("P5", "error", "P5/c.nii: empty", "copy it again", "P5/c.nii"))
    told = folded(findings)
    assert [(entry.severity, entry.what, len(entry.cases)) for entry in told] == [
        ("error", "damaged", 2),
        ("error", "P5/c.nii: empty", 1),
        ("warning", "no t1ce", 14),
    ]
    assert _names(told[2].cases).startswith("14 cases: P0, P1,") and _names(told[2].cases).endswith(", P11, ...")


def test_large_data_sets_show_cases_with_findings_first(data, capsys, monkeypatch):
    monkeypatch.setattr("limbeck.commands.inspect_data._MOST_ROWS", 1)
    monkeypatch.setattr("limbeck.data.inspection_case._THICK_MM", 10)
    file(data, 3, "t1ce").unlink()
    _, text = inspected(capsys, data)
    assert "BraTS2021_00003" in text and "BraTS2021_00001" not in text
    assert "... and 2 more cases" in text


def test_codes_given_by_hand_are_used(data, capsys):
    code, text = inspected(capsys, data, "--labels", "brats2023")
    assert code == 3 and "unknown label 4" in text
    assert main(["inspect", str(data), "--labels", "brats"]) == 2


def test_many_workers_tell_what_one_tells(data, capsys):
    file(data, 2, "t1ce").unlink()
    assert inspected(capsys, data, "--workers", "2", "--json") == inspected(capsys, data, "--workers", "1", "--json")


def test_the_page_shows_the_json_as_it_is(data, capsys, monkeypatch):
    monkeypatch.setattr("limbeck.data.inspection_case._THICK_MM", 10)
    shown = json.loads(re.search(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)[1])
    for number in (2, 3):
        shutil.rmtree(data / f"BraTS2021_{number:05d}")
    file(data, 1, "t1ce").unlink()
    relabel(file(data, 1, "seg"), 2, 7)
    code, text = inspected(capsys, data, "--labels", "brats2018", "--json")
    found = json.loads(text)
    assert code == 3
    assert found["explanation"].startswith(shown["explanation"].removesuffix("..."))
    assert isinstance(found["cases"][0]["brain_ml"], float)
    # Words that the page shortens, and a number that changes with the phantoms.
    found["explanation"] = shown["explanation"]
    found["cases"][0]["brain_ml"] = shown["cases"][0]["brain_ml"]
    assert found == shown


def test_the_page_names_every_field(data, capsys):
    _, text = inspected(capsys, data, "--json")
    report = json.loads(text)
    named = set(re.findall(r"`(\w+)`", PAGE.read_text()))
    assert {*report, *report["cases"][0], *report["findings"][0]} <= named

"""Phantoms take every layout that can be imported, with and without all their sequences."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from limbeck.anatomy import LABEL_SCHEMES, Label, Modality
from limbeck.commands.phantom import LAYOUTS as OFFERED
from limbeck.data.importers import IMPORTERS, detect_layout
from limbeck.data.volume import read_labels, read_volume
from limbeck.errors import UsageError
from limbeck.phantom import cohort
from limbeck.phantom.absence import absent
from limbeck.phantom.layouts import LAYOUTS
from limbeck.phantom.patient import Patient, make

SPACING, SEED, CASES = 6.0, 11, 3
SHARE = 0.5
# Layout -> its importer, and the codes of its masks.
READ_AS = {
    "brats2018": ("brats", "brats2018"),
    "brats2020": ("brats", "brats2018"),
    "brats2021": ("brats", "brats2018"),
    "brats2023": ("brats", "brats2023"),
    "brats2024": ("brats", "brats2024"),
    "msd": ("msd", "msd"),
    "nnunet": ("nnunet", "msd"),
    "bids": ("bids", "brats2023"),
    "table": ("table", "brats2018"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients in every layout; where a layout lets them, half of them lack sequences."""
    root = tmp_path_factory.mktemp("layouts")
    for layout, how in LAYOUTS.items():
        share = SHARE if how.partial else 0.0
        cohort.write(root / layout, CASES, seed=SEED, layout=layout, spacing_mm=SPACING, missing=share, workers=1)
    return root


@functools.cache
def patient(index: int) -> Patient:
    return make(SEED, index, SPACING)


def values(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def present(index: int) -> list[Modality]:
    return [modality for modality in Modality if modality not in absent(SEED, index, SHARE)]


def test_the_command_offers_every_layout_and_every_importer_has_one() -> None:
    assert tuple(LAYOUTS) == OFFERED
    assert {name for name, _ in READ_AS.values()} == set(IMPORTERS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_written_is_read_again_as_it_was(made: Path, layout: str) -> None:
    name, codes = READ_AS[layout]
    source = made / layout / ("cases.csv" if layout == "table" else "")
    importer, _ = detect_layout(source)
    assert importer.name == name
    cases = importer.find(source)
    assert [case.id for case in cases] == [cohort.case_name(layout, index) for index in range(CASES)]
    assert len({case.patient for case in cases}) == CASES
    # Names do not tell 2024 from 2023, and none of these phantoms has a resection cavity.
    assert importer.scheme(source) in (codes, "brats2023" if codes == "brats2024" else codes)
    for index, case in enumerate(cases):
        wanted = patient(index)
        turned = (slice(None, None, -1), slice(None, None, -1)) if layout == "msd" else ()
        assert list(case.images) == (list(Modality) if layout == "msd" else present(index))
        for modality, where in case.images.items():
            found = read_volume(where)[0]
            assert np.array_equal(in_place(found, turned), np.rint(np.clip(wanted.images[modality], 0, 32767)))
        assert np.array_equal(in_place(read_labels(case.labels, codes)[0], turned), wanted.labels)


def in_place(found: np.ndarray, turned: tuple[slice, ...]) -> np.ndarray:
    return found[turned] if turned else found


def test_names_of_2020_come_with_a_table_of_grades(made: Path) -> None:
    with (made / "brats2020" / "name_mapping.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["BraTS_2020_subject_ID"] for row in rows] == [f"BraTS20_Training_{n:03d}" for n in (1, 2, 3)]
    enhancing = [bool((patient(index).labels == Label.ENHANCING).any()) for index in range(CASES)]
    assert [row["Grade"] for row in rows] == ["HGG" if one else "LGG" for one in enhancing]
    assert len(set(enhancing)) == 2
    assert {row["BraTS_2019_subject_ID"] for row in rows} == {"NA"}


def test_names_since_2023_have_hyphens_and_new_roles(made: Path) -> None:
    role = {Modality.FLAIR: "t2f", Modality.T1: "t1n", Modality.T1CE: "t1c", Modality.T2: "t2w"}
    for year, examination in (("brats2023", "000"), ("brats2024", "100")):
        for index in range(CASES):
            name = f"BraTS-GLI-{index + 1:05d}-{examination}"
            wanted = [f"{name}-{role[modality]}.nii.gz" for modality in present(index)]
            assert files(made / year / name) == sorted([*wanted, f"{name}-seg.nii.gz"])
        seg = values(made / year / name / f"{name}-seg.nii.gz")
        assert set(np.unique(seg)) <= set(LABEL_SCHEMES["brats2023"])


def test_nnunets_channels_are_numbered_and_its_codes_named(made: Path) -> None:
    listing = json.loads((made / "nnunet" / "dataset.json").read_text())
    assert listing["channel_names"] == {"0": "FLAIR", "1": "T1", "2": "T1ce", "3": "T2"}
    assert listing["labels"] == {"background": 0, "edema": 1, "necrosis": 2, "enhancing tumor": 3}
    assert (listing["numTraining"], listing["file_ending"]) == (CASES, ".nii.gz")
    for index in range(CASES):
        channels = sorted((made / "nnunet" / "imagesTr").glob(f"phantom_{index + 1:03d}_*"))
        assert [path.name[12:16] for path in channels] == [f"{modality:04d}" for modality in present(index)]
    seg, labels = values(made / "nnunet" / "labelsTr" / "phantom_001.nii.gz"), patient(0).labels
    assert [set(np.unique(labels[seg == code])) for code in (1, 2)] == [{Label.OEDEMA}, {Label.NECROTIC_CORE}]


def test_bids_keeps_masks_among_the_derivatives(made: Path) -> None:
    suffix = {
        Modality.FLAIR: "FLAIR",
        Modality.T1: "T1w",
        Modality.T1CE: "ce-gadolinium_T1w",
        Modality.T2: "T2w",
    }
    for index in range(CASES):
        name = f"sub-{index + 1:03d}"
        wanted = sorted(f"anat/{name}_{suffix[modality]}.nii.gz" for modality in present(index))
        assert files(made / "bids" / name) == wanted
        assert files(made / "bids" / "derivatives" / "manual_masks" / name) == [f"anat/{name}_dseg.nii.gz"]
    assert "3\tenhancing" in (made / "bids" / "derivatives" / "manual_masks" / "dseg.tsv").read_text().splitlines()


def test_a_table_names_what_is_there_and_leaves_cells_empty(made: Path) -> None:
    with (made / "table" / "cases.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["case", "patient", "flair", "t1", "t1ce", "t2", "seg"]
    for index, row in enumerate(rows):
        named = [modality for modality in Modality if row[modality.role]]
        assert named == present(index)
        assert all((made / "table" / row[role]).is_file() for role in ("seg", *(item.role for item in named)))


def test_a_missing_sequence_changes_no_byte_of_the_others(made: Path, tmp_path: Path) -> None:
    cohort.write(tmp_path / "whole", CASES, seed=SEED, spacing_mm=SPACING, workers=1)
    fewer = 0
    for path in (made / "brats2021").rglob("*.nii.gz"):
        assert path.read_bytes() == (tmp_path / "whole" / path.relative_to(made / "brats2021")).read_bytes()
        fewer += 1
    assert fewer < CASES * 5
    assert "missing" not in json.loads((tmp_path / "whole" / "phantoms.json").read_text())


def test_the_record_says_who_lacks_what(made: Path) -> None:
    record = json.loads((made / "brats2021" / "phantoms.json").read_text())
    assert record["missing"] == SHARE
    wanted = {f"BraTS2021_{index + 1:05d}": absent(SEED, index, SHARE) for index in range(CASES)}
    assert record["lacking"] == {name: [item.role for item in roles] for name, roles in wanted.items() if roles}
    assert 0 < len(record["lacking"]) < CASES


def test_the_share_is_that_of_patients_and_each_lacks_one_to_three() -> None:
    for share in (0.0, 0.1, 0.4, 1.0):
        lacking = [absent(5, index, share) for index in range(200)]
        assert sum(map(bool, lacking)) == pytest.approx(share * 200, abs=3)
    assert {len(missing) for missing in lacking} == {1, 2, 3}
    assert {modality for missing in lacking for modality in missing} == set(Modality)
    assert all(list(missing) == sorted(missing) for missing in lacking)


def test_whoever_lacks_something_lacks_it_at_any_higher_share() -> None:
    for index in range(100):
        few, many = absent(0, index, 0.2), absent(0, index, 0.6)
        assert few in ((), many)


def test_a_partial_data_set_is_not_written_again_and_grows(tmp_path: Path) -> None:
    settings = {"seed": SEED, "layout": "nnunet", "spacing_mm": SPACING, "missing": SHARE, "workers": 1}
    cohort.write(tmp_path, 2, **settings)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "imagesTr").iterdir()}
    cohort.write(tmp_path, 3, **settings)
    assert before.items() <= {path: path.stat().st_mtime_ns for path in (tmp_path / "imagesTr").iterdir()}.items()
    assert json.loads((tmp_path / "dataset.json").read_text())["numTraining"] == 3
    next(iter(before)).unlink()
    cohort.write(tmp_path, 3, **settings)
    assert set(before) <= set((tmp_path / "imagesTr").iterdir())


def test_another_share_is_another_data_set(tmp_path: Path) -> None:
    cohort.write(tmp_path, 1, spacing_mm=SPACING, workers=1)
    with pytest.raises(UsageError, match=r"missing 0\.0, not 0\.4"):
        cohort.write(tmp_path, 1, spacing_mm=SPACING, missing=0.4, workers=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"missing": 1.5}, r"missing 1\.5: expected .* 0 to 1"),
        ({"missing": float("nan")}, "missing nan"),
        ({"missing": 0.1, "layout": "msd"}, "layout msd: its files hold all sequences.*expected brats2018"),
    ],
)
def test_impossible_absence_is_refused(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cohort.write(tmp_path / "out", 1, **settings)
    assert not (tmp_path / "out").exists()

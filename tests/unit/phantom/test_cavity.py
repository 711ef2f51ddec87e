"""An operated patient is the patient with a hole, and the hole looks as holes do."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from limbeck.anatomy import Label, Modality
from limbeck.cli import main
from limbeck.data.cohort import Cohort
from limbeck.errors import UsageError
from limbeck.phantom import cohort, mishaps
from limbeck.phantom.absence import absent
from limbeck.phantom.cavity import operated
from limbeck.phantom.mishaps import Mishap
from limbeck.phantom.patient import Patient, make

SPACING, SEED, COUNT = 4.0, 5, 6


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Patient, Patient]]:
    """Patients before and after, none of whom moved in the scanner, so that what lies far apart stays apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mishaps, "draw", lambda rng: Mishap())
        return [(make(SEED, i, SPACING), make(SEED, i, SPACING, operated=True)) for i in range(COUNT)]


def hole(patient: Patient) -> np.ndarray:
    return patient.labels == Label.RESECTION_CAVITY


def ml(mask: np.ndarray) -> float:
    return float(mask.sum()) * SPACING**3 / 1000


def test_every_operated_patient_has_a_hole_and_nobody_else(pairs: list[tuple[Patient, Patient]]) -> None:
    for before, after in pairs:
        assert not hole(before).any()
        assert 1 < ml(hole(after)) < 200


def test_far_from_the_hole_nothing_has_changed(pairs: list[tuple[Patient, Patient]]) -> None:
    for before, after in pairs:
        away = ndimage.distance_transform_edt(~hole(after)) * SPACING
        # The blur of a thick slice, of clots and of the scar reaches this far.
        far = away > 30
        assert far.mean() > 0.5
        assert np.array_equal(before.labels[far], after.labels[far])
        for modality in Modality:
            assert np.allclose(before.images[modality][far], after.images[modality][far], rtol=1e-4)
            assert not np.allclose(before.images[modality][~far], after.images[modality][~far], rtol=1e-2)
            assert np.array_equal(before.images[modality] > 0, after.images[modality] > 0)


def test_the_hole_takes_most_of_the_core_and_leaves_remnants_and_oedema(pairs: list[tuple[Patient, Patient]]) -> None:
    taken, left = [], []
    for before, after in pairs:
        core = np.isin(before.labels, (Label.NECROTIC_CORE, Label.ENHANCING))
        taken.append(float(hole(after)[core].mean()))
        left.append(ml(np.isin(after.labels, (Label.NECROTIC_CORE, Label.ENHANCING))))
        # Whatever is not hole keeps its label.
        assert np.array_equal(after.labels[~hole(after)], before.labels[~hole(after)])
    assert np.mean(taken) > 0.5
    assert min(taken) < 0.9
    assert max(left) > 1
    assert all((after.labels == Label.OEDEMA).any() for _, after in pairs)


def test_the_hole_looks_like_fluid(pairs: list[tuple[Patient, Patient]]) -> None:
    ranks: dict[Modality, list[float]] = {modality: [] for modality in Modality}
    for _, after in pairs:
        # Deep inside, where no clot, wall or blur reaches.
        inside = ndimage.binary_erosion(hole(after))
        if inside.sum() < 5:
            continue
        for modality, image in after.images.items():
            healthy = image[(after.labels == 0) & (image > 0)]
            ranks[modality].append(float((healthy < np.median(image[inside])).mean()))
    assert len(ranks[Modality.T2]) >= COUNT // 2
    assert np.median(ranks[Modality.T2]) > 0.85
    assert np.median(ranks[Modality.T1]) < 0.25
    assert np.median(ranks[Modality.FLAIR]) < 0.4


def test_another_spacing_shows_the_same_hole(pairs: list[tuple[Patient, Patient]]) -> None:
    fine, coarse = hole(make(SEED, 0, SPACING / 2, operated=True)), hole(pairs[0][1])
    pooled = fine[:, :, :78].reshape(60, 2, 60, 2, 39, 2).mean((1, 3, 5)) > 0.5
    assert 2 * (pooled & coarse).sum() / (pooled.sum() + coarse.sum()) > 0.75


def test_the_share_is_that_of_patients_and_has_nothing_to_do_with_what_they_lack() -> None:
    for share in (0.0, 0.1, 0.4, 1.0):
        assert sum(operated(5, index, share) for index in range(200)) == pytest.approx(share * 200, abs=3)
    assert all(operated(0, index, 0.6) for index in range(100) if operated(0, index, 0.2))
    both = [operated(3, index, 0.5) and bool(absent(3, index, 0.5)) for index in range(400)]
    assert np.mean(both) == pytest.approx(0.25, abs=0.03)


def test_whoever_is_spared_keeps_every_byte(tmp_path: Path) -> None:
    settings = {"seed": 1, "layout": "brats2024", "spacing_mm": 6.0, "workers": 1}
    cohort.write(tmp_path / "without", 4, **settings)
    cohort.write(tmp_path / "with", 4, cavities=0.5, **settings)
    record = json.loads((tmp_path / "with" / "phantoms.json").read_text())
    assert record["cavities"] == 0.5
    assert record["version"] == cohort.VERSION
    assert 0 < len(record["operated"]) < 4
    assert "cavities" not in (tmp_path / "without" / "phantoms.json").read_text()
    for path in (tmp_path / "with").rglob("*.nii.gz"):
        same = path.read_bytes() == (tmp_path / "without" / path.relative_to(tmp_path / "with")).read_bytes()
        assert same == (path.parent.name not in record["operated"])


def test_operated_patients_are_imported_with_their_holes(tmp_path: Path) -> None:
    making = ["phantom", "--layout", "brats2024", "--cavities", "0.6", "--cases", "4", "--spacing", "6"]
    assert main([*making, "--workers", "1", "--out", str(tmp_path / "phantoms")]) == 0
    reading = ["import", str(tmp_path / "phantoms"), "--spacing", "6", "--workers", "1"]
    assert main([*reading, "--out", str(tmp_path / "cohort")]) == 0
    holed = set(json.loads((tmp_path / "phantoms" / "phantoms.json").read_text())["operated"])
    assert 0 < len(holed) < 4
    for case in Cohort.open(tmp_path / "cohort").cases:
        found, name = np.asarray(case.labels()), f"{case.id}-seg.nii.gz"
        written = np.asarray(nib.load(tmp_path / "phantoms" / case.id / name).dataobj)
        assert (found == Label.RESECTION_CAVITY).sum() == (written == 4).sum()
        assert bool((written == 4).any()) == (case.id in holed)


@pytest.mark.parametrize(
    "layout", ["brats2018", "brats2020", "brats2021", "brats2023", "msd", "nnunet", "bids", "table"]
)
def test_a_layout_without_a_code_for_holes_is_refused(tmp_path: Path, layout: str) -> None:
    with pytest.raises(UsageError, match=f"layout {layout}: .*no code for a resection cavity: expected brats2024$"):
        cohort.write(tmp_path / "out", 1, layout=layout, cavities=0.1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_an_impossible_share_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(UsageError, match=r"cavities .*: expected the share of patients who were operated, 0 to 1"):
        cohort.write(tmp_path / "out", 1, layout="brats2024", cavities=share)


def test_another_share_is_another_data_set(tmp_path: Path) -> None:
    cohort.write(tmp_path, 1, layout="brats2024", spacing_mm=6.0, workers=1)
    with pytest.raises(UsageError, match=r"cavities 0\.0, not 0\.4"):
        cohort.write(tmp_path, 1, layout="brats2024", spacing_mm=6.0, workers=1, cavities=0.4)

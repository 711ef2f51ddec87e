"""One path predicts: files and cohort give the same mask, and nothing but the used sequences can change it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from limbeck.anatomy import Modality, Subset
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.importers import detect_layout
from limbeck.errors import ModelError, UsageError
from limbeck.inference.model import Model
from limbeck.inference.predictor import Predictor, load
from limbeck.inference.segmentation import Segmentation
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.methods.saved import CARD, Card, load_card, save
from limbeck.normalisation import Normalisation
from limbeck.target import Target

SPACING_MM = 3.0


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head of noise, anisotropic and flipped, whose sequences do not cover quite the same voxels."""
    folder = tmp_path_factory.mktemp("data") / "BraTS2021_00001"
    folder.mkdir()
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(40), np.arange(44), np.arange(20), indexing="ij"), -1)
    distance = (((grid - [20, 22, 10]) / [17, 19, 8]) ** 2).sum(-1)
    affine = np.diag([-2.0, -2.0, 4.0, 1.0])
    affine[:3, 3] = [38, 50, -20]
    for index, modality in enumerate(Modality):
        brain = distance < 1 - 0.05 * index
        image = np.where(brain, 100 + 20 * index + rng.normal(0, 15, brain.shape), 0).astype(np.float32)
        nib.save(nib.Nifti1Image(image, affine), folder / f"BraTS2021_00001_{modality.role}.nii.gz")
    labels = np.where(distance < 0.1, 4, np.where(distance < 0.2, 2, 0)).astype(np.uint8)
    nib.save(nib.Nifti1Image(labels, affine), folder / "BraTS2021_00001_seg.nii.gz")
    return folder


def imported(patient: Path, out: Path, normalisation: Normalisation) -> Cohort:
    importer, _ = detect_layout(patient.parent)
    return import_cohort(
        importer.find(patient.parent),
        out,
        spacing_mm=SPACING_MM,
        normalisation=normalisation,
        scheme="brats2018",
        layout="brats",
        source=patient.parent,
        workers=1,
    )


@pytest.fixture(scope="module")
def cohort(patient: Path, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return imported(patient, tmp_path_factory.mktemp("cohort") / "cohort", Normalisation.Z_SCORE)


@pytest.fixture(scope="module")
def raw_cohort(patient: Path, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return imported(patient, tmp_path_factory.mktemp("raw") / "cohort", Normalisation.RAW)


def predictor(
    folder: Path, name: str, subsets: tuple[Subset, ...], normalisation: Normalisation = Normalisation.Z_SCORE
) -> Predictor:
    torch.manual_seed(0)
    method = build(name, find(name).Settings(width=8), Context(subsets))
    settings = {"width": 8, "dropout": 0.0}
    card = Card(name, settings, subsets, Target.SOFTMAX_LABELS, SPACING_MM, (16, 24, 24), normalisation=normalisation)
    save(folder, method, card)
    return load(folder, "cpu", "float32")


def segment(folder: Path, images: Mapping[str, Path]) -> Segmentation:
    return Model.load(folder, "cpu", "float32").segment(images)


def scan(patient: Path, role: str) -> Path:
    return patient / f"{patient.name}_{role}.nii.gz"


@pytest.mark.parametrize("text", ["flair", "t1ce+t2"])
def test_files_and_cohort_give_the_same_mask(patient: Path, cohort: Cohort, tmp_path: Path, text: str) -> None:
    subset = Subset.parse(text)
    model = predictor(tmp_path / "model", "supervised", (subset,))
    from_files = segment(tmp_path / "model", {modality.role: scan(patient, modality.role) for modality in subset})
    from_cohort = model.segment_case(cohort.case("BraTS2021_00001"), subset)
    assert len(np.unique(from_files.labels)) > 1, "an untrained network should draw something here"
    assert np.array_equal(from_files.labels, from_cohort)


def test_files_and_cohort_give_the_same_mask_from_raw_intensities(
    patient: Path, cohort: Cohort, raw_cohort: Cohort, tmp_path: Path
) -> None:
    subset = Subset.parse("t1ce")
    model = predictor(tmp_path / "model", "supervised", (subset,), Normalisation.RAW)
    from_files = segment(tmp_path / "model", {"t1ce": scan(patient, "t1ce")})
    assert np.array_equal(from_files.labels, model.segment_case(raw_cohort.case("BraTS2021_00001"), subset))
    predictor(tmp_path / "other", "supervised", (subset,))
    z_scored = segment(tmp_path / "other", {"t1ce": scan(patient, "t1ce")})
    assert not np.array_equal(from_files.scores, z_scored.scores)


def test_a_case_of_other_intensities_is_refused(cohort: Cohort, raw_cohort: Cohort, tmp_path: Path) -> None:
    subset = Subset.parse("flair")
    for normalisation, other in ((Normalisation.Z_SCORE, raw_cohort), (Normalisation.RAW, cohort)):
        model = predictor(tmp_path / normalisation, "supervised", (subset,), normalisation)
        with pytest.raises(UsageError, match=f"trained on {normalisation}: .* --normalisation {normalisation}"):
            model.segment_case(other.cases[0], subset)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("z-score", Normalisation.Z_SCORE),
        ("raw", Normalisation.RAW),
        ("z-score over the sequence's own non-zero voxels", Normalisation.Z_SCORE),
    ],
)
def test_a_card_says_what_was_done_to_intensities(tmp_path: Path, text: str, meant: Normalisation) -> None:
    model = predictor(tmp_path, "supervised", (Subset.parse("flair"),), meant)
    content = json.loads((tmp_path / CARD).read_text())
    assert content["normalisation"] == meant.value
    (tmp_path / CARD).write_text(json.dumps({**content, "normalisation": text}))
    assert load_card(tmp_path) == model.card
    assert load_card(tmp_path).normalisation is meant


def test_a_card_of_an_unknown_normalisation_is_refused(tmp_path: Path) -> None:
    predictor(tmp_path, "supervised", (Subset.parse("flair"),))
    content = json.loads((tmp_path / CARD).read_text())
    (tmp_path / CARD).write_text(json.dumps({**content, "normalisation": "histogram"}))
    with pytest.raises(ModelError, match="histogram"):
        load_card(tmp_path)


def test_mask_lies_on_the_scan(patient: Path, tmp_path: Path) -> None:
    predictor(tmp_path / "model", "supervised", (Subset.parse("flair"),))
    result = segment(tmp_path / "model", {"flair": scan(patient, "flair")})
    image = nib.load(scan(patient, "flair"))
    assert result.labels.shape == image.shape
    assert result.labels.dtype == np.uint8
    np.testing.assert_allclose(result.grid.affine, image.affine)
    # Beyond the head's box nothing was seen, so nothing may be drawn there, but for a voxel of resampling.
    occupied = np.nonzero(np.asarray(image.dataobj))
    inside = tuple(slice(max(axis.min() - 2, 0), axis.max() + 3) for axis in occupied)
    beyond = result.labels.copy()
    beyond[inside] = 0
    assert result.labels.any()
    assert not beyond.any()


def test_what_is_not_used_changes_nothing(patient: Path, tmp_path: Path) -> None:
    predictor(tmp_path / "model", "supervised", (Subset.parse("t1ce"),))
    alone = segment(tmp_path / "model", {"t1ce": scan(patient, "t1ce")})
    beside = segment(
        tmp_path / "model", {"t1ce": scan(patient, "t1ce"), "flair": tmp_path / "does-not-even-exist.nii.gz"}
    )
    assert np.array_equal(alone.labels, beside.labels)
    assert np.array_equal(alone.scores, beside.scores)
    assert beside.subset == Subset.parse("t1ce")


def test_a_generalist_takes_whatever_is_given(patient: Path, tmp_path: Path) -> None:
    predictor(tmp_path / "model", "dropout", Subset.every())
    one = segment(tmp_path / "model", {"t2": scan(patient, "t2")})
    two = segment(tmp_path / "model", {"t2": scan(patient, "t2"), "flair": scan(patient, "flair")})
    assert str(two.subset) == "flair+t2"
    assert not np.array_equal(one.scores, two.scores)


def test_a_missing_sequence_is_named(patient: Path, tmp_path: Path) -> None:
    predictor(tmp_path / "model", "supervised", (Subset.parse("flair+t1ce"),))
    with pytest.raises(UsageError, match="t1ce is missing"):
        segment(tmp_path / "model", {"flair": scan(patient, "flair")})


def test_a_sequence_under_two_names_is_refused(patient: Path, tmp_path: Path) -> None:
    predictor(tmp_path / "model", "supervised", (Subset.parse("t1ce"),))
    with pytest.raises(UsageError, match="t1ce is given twice"):
        segment(tmp_path / "model", {"t1ce": scan(patient, "t1ce"), "t1gd": scan(patient, "t1ce")})


def test_volumes_are_in_millilitres(patient: Path, tmp_path: Path) -> None:
    predictor(tmp_path / "model", "supervised", (Subset.parse("flair"),))
    result = segment(tmp_path / "model", {"flair": scan(patient, "flair")})
    assert result.volumes_ml()["ET"] == pytest.approx((result.labels == 3).sum() * 2 * 2 * 4 / 1000)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    subsets = (Subset.parse("flair"),)
    first = predictor(folder, "supervised", subsets)
    card = Card("supervised", {"width": 8, "dropout": 0.0}, subsets, Target.SOFTMAX_LABELS, SPACING_MM, (16,) * 3, 7)
    torch.manual_seed(1)
    save(folder, build("supervised", find("supervised").Settings(width=8), Context(subsets)), card)
    assert load(folder).card.step == 7
    newest = next(folder.glob("weights-000007-*"))
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(bytes(content))
    again = load(folder)
    assert again.card.step == first.card.step == 0
    next(folder.glob("weights-000000-*")).unlink()
    with pytest.raises(ModelError, match=r"damaged.*missing"):
        load(folder)

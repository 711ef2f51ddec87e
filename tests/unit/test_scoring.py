"""A run is scored on what it can be scored on, by the rules asked for; its threshold never sees a test case."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from limbeck import scoring
from limbeck.anatomy import Modality, Region, Subset
from limbeck.cli import main
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.cohort_case import CohortCase
from limbeck.data.importers import detect_layout
from limbeck.data.splits import record_hash
from limbeck.errors import DataError, ModelError, UsageError
from limbeck.evaluation.eligible import FOLD
from limbeck.evaluation.protocol import GKD, STRICT
from limbeck.evaluation.threshold import POSTPROCESS, post_processing
from limbeck.experiment import plan, run
from limbeck.inference.predictor import load
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.methods.saved import DONE, Card, save
from limbeck.normalisation import Normalisation
from limbeck.scoring import evaluate_run, plan_evaluation
from limbeck.target import Target

SUBSETS = (Subset.parse("flair"),)
DICE = ("dice",)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    root = tmp_path_factory.mktemp("scoring")
    making = ["phantom", "--cases", "6", "--spacing", "6", "--seed", "1", "--workers", "1"]
    assert main([*making, "--out", str(root / "phantoms")]) == 0
    reading = ["import", str(root / "phantoms"), "--spacing", "6", "--workers", "1"]
    assert main([*reading, "--out", str(root / "cohort")]) == 0
    return Cohort.open(root / "cohort")


def finished(folder: Path, cohort: Cohort, subsets: tuple[Subset, ...] = SUBSETS, **card: object) -> Path:
    """A run as training leaves it, with untrained weights: two cases for each part of its fold."""
    names = [case.id for case in cohort.cases]
    parts = {"train": names[:2], "validation": names[2:4], "test": names[4:]}
    record = {part: {name: dict(cohort.case(name).label_ml) for name in names} for part, names in parts.items()}
    name = "dropout" if len(subsets) > 1 else "supervised"
    origin = {"data": cohort.hash, "fold": 0, "folds": 3, "seed": 0, "split": record_hash(record)}
    spacing, settings = cohort.spacing_mm, {"width": 8}
    made = Card(name, settings, subsets, Target.SOFTMAX_LABELS, spacing, (16, 16, 16), origin=origin)
    for place, step in (("best", 1), ("last", 2)):
        # Weights of their own, so that it shows which of the two predicts.
        method = build(name, find(name).Settings(width=8), Context(subsets))
        save(folder / place, method, dataclasses.replace(made, step=step, **card))
    (folder / FOLD).write_text(json.dumps(record))
    (folder / DONE).touch()
    return folder


@pytest.fixture
def specialist(tmp_path: Path, cohort: Cohort) -> Path:
    return finished(tmp_path / "supervised-flair", cohort)


@pytest.mark.parametrize("trained", Normalisation)
def test_a_cohort_of_other_intensities_is_refused(tmp_path: Path, cohort: Cohort, trained: Normalisation) -> None:
    (other,) = set(Normalisation) - {trained}
    folder = finished(tmp_path / "run", cohort, normalisation=trained)
    spoilt = dataclasses.replace(cohort, normalisation=other)
    with pytest.raises(UsageError, match=rf"intensities are {other}, .* trained on {trained}: .*--normalisation"):
        evaluate_run(folder, spoilt, device="cpu")


def test_the_cases_of_the_run_s_own_fold_are_scored_and_no_other(specialist: Path, cohort: Cohort) -> None:
    rows = evaluate_run(specialist, cohort, device="cpu")
    assert {row.case for row in rows} == {case.id for case in cohort.cases[4:]}
    assert {row.metric for row in rows} == set(STRICT.metrics)
    assert {(row.protocol, row.data, row.processing) for row in rows} == {("strict-1", cohort.hash, "raw")}


def test_a_generalist_is_scored_on_all_fifteen_subsets(tmp_path: Path, cohort: Cohort) -> None:
    folder = finished(tmp_path / "dropout", cohort, Subset.every())
    rows = evaluate_run(folder, cohort, metrics=DICE, device="cpu")
    assert {row.subset for row in rows} == set(Subset.every())
    assert len(rows) == 15 * 2 * len(Region)


def test_a_fold_that_was_changed_is_model(specialist: Path, cohort: Cohort) -> None:
    record = json.loads((specialist / FOLD).read_text())
    moved = record["train"].popitem()
    record["test"][moved[0]] = moved[1]
    (specialist / FOLD).write_text(json.dumps(record))
    with pytest.raises(ModelError, match=r"fold.json was changed"):
        plan_evaluation(specialist, cohort)
    (specialist / FOLD).write_text(json.dumps({"train": {}}))
    with pytest.raises(ModelError, match=r"fold.json is missing or damaged"):
        plan_evaluation(specialist, cohort)


@pytest.mark.parametrize("name", ["gkd-as-published", "rirn-as-published"])
def test_a_crop_in_voxels_of_1_mm_takes_no_others(specialist: Path, cohort: Cohort, name: str) -> None:
    with pytest.raises(UsageError, match=rf"protocol {name} crops voxels of 1 mm, .* has 6 mm: .*protocol strict"):
        plan_evaluation(specialist, cohort, protocol=name)


def test_what_cannot_be_is_refused_before_anything_is_predicted(specialist: Path, cohort: Cohort) -> None:
    with pytest.raises(UsageError, match="unknown protocol 'strickt'"):
        plan_evaluation(specialist, cohort, protocol="strickt")
    with pytest.raises(UsageError, match="unknown metric 'dise'"):
        plan_evaluation(specialist, cohort, metrics=("dise",))
    with pytest.raises(UsageError, match="serves flair: none of the subsets"):
        plan_evaluation(specialist, cohort, (Subset.parse("t1"),))


def test_the_slice_metric_belongs_to_its_own_protocol(specialist: Path, cohort: Cohort) -> None:
    rows = evaluate_run(specialist, cohort, protocol="mtcmkd-as-published", device="cpu")
    assert {(row.metric, row.protocol) for row in rows} == {("legacy_slice_mean", "mtcmkd-as-published-1")}


# --- the crop ---------------------------------------------------------------------------------------------------------

EXTENT = (16, 24, 16)


@pytest.fixture
def fine(tmp_path: Path) -> Cohort:
    """One patient of 1 mm: a head of noise, with tumour in its middle and at its rim."""
    folder = tmp_path / "scans" / "BraTS2021_00001"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(30), np.arange(34), np.arange(20), indexing="ij"), -1)
    distance = (((grid - [15, 17, 10]) / [14, 16, 9]) ** 2).sum(-1)
    for modality in Modality:
        image = np.where(distance < 1, 100 + rng.normal(0, 15, distance.shape), 0).astype(np.float32)
        nib.save(nib.Nifti1Image(image, np.diag([-1.0, -1, 1, 1])), folder / f"BraTS2021_00001_{modality.role}.nii.gz")
    labels = np.where((distance < 0.1) | ((distance > 0.8) & (distance < 1)), 4, 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(labels, np.diag([-1.0, -1, 1, 1])), folder / "BraTS2021_00001_seg.nii.gz")
    importer, _ = detect_layout(folder.parent)
    return import_cohort(
        importer.find(folder.parent),
        tmp_path / "fine",
        scheme="brats2018",
        layout="brats",
        source=folder.parent,
        workers=1,
    )


def test_only_the_crop_is_predicted_and_scored_and_the_last_checkpoint_predicts(
    tmp_path: Path, cohort: Cohort, fine: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = dataclasses.replace(GKD, extent=EXTENT)
    monkeypatch.setattr(scoring, "find", lambda text: small)
    folder = finished(tmp_path / "run", cohort, spacing_mm=1.0)
    planned = plan_evaluation(folder, fine, masks=tmp_path / "masks")
    assert planned.card.step == 2
    rows = planned.rows("cpu")
    case = fine.cases[0]
    reference, grid = case.reference()
    inside = (slice(6, 22), slice(4, 28), slice(1, 17))
    mask = np.asarray(nib.load(tmp_path / "masks" / "run" / f"{case.id}_flair.nii.gz").dataobj)
    assert mask.shape == grid.shape and mask.any()
    beyond = mask.copy()
    beyond[inside] = 0
    assert not beyond.any()
    found, truth = mask[inside] == 3, reference[inside] == 3
    expected = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    (dice,) = (row.value for row in rows if row.region is Region.ET)
    assert dice == pytest.approx(expected)
    # One window, so that the network sees the crop alone and whole, whatever it was trained on.
    crop = scoring.crop_of(EXTENT)
    assert crop is not None
    predictor = load(folder, "cpu", checkpoint="last")
    wide = dataclasses.replace(predictor, card=dataclasses.replace(predictor.card, patch=(16, 24, 16)))
    assert np.array_equal(wide.segment_case(case, SUBSETS[0], crop), mask)


# --- post-processing --------------------------------------------------------------------------------------------------


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The cases whose images, labels or reference are read from now on."""
    seen: set[str] = set()
    for name in ("images", "labels", "reference", "foreground"):
        real = getattr(CohortCase, name)
        monkeypatch.setattr(
            CohortCase, name, lambda case, *words, real=real: (seen.add(case.id), real(case, *words))[1]
        )
    return seen


def test_test_cases_are_never_read_for_the_threshold(specialist: Path, cohort: Cohort, looked_at: set[str]) -> None:
    step = post_processing(specialist, cohort, load(specialist, "cpu"), STRICT)
    assert looked_at == {case.id for case in cohort.cases[2:4]}, "the validation cases, and no other"
    kept = json.loads((specialist / POSTPROCESS).read_text())["strict-1"]
    assert kept["data"] == cohort.hash and set(kept["validation_cases"]) == looked_at
    assert (kept["step"], kept["threshold_mm3"]) == (step.name, step.threshold_mm3)
    looked_at.clear()
    assert post_processing(specialist, cohort, load(specialist, "cpu"), STRICT) == step
    assert not looked_at, "it is chosen once"


def test_raw_and_processed_rows_stand_side_by_side(specialist: Path, cohort: Cohort) -> None:
    rows = evaluate_run(specialist, cohort, metrics=DICE, processed=True, device="cpu")
    raw = evaluate_run(specialist, cohort, metrics=DICE, device="cpu")
    step = json.loads((specialist / POSTPROCESS).read_text())["strict-1"]["step"]
    assert [row for row in rows if row.processing == "raw"] == raw
    assert len([row for row in rows if row.processing == step]) == len(raw)


def test_another_cohort_takes_the_threshold_of_the_run_s_own(
    specialist: Path, cohort: Cohort, tmp_path: Path, looked_at: set[str]
) -> None:
    other = dataclasses.replace(cohort, hash="another", cases=cohort.cases[4:])
    with pytest.raises(UsageError, match=r"no post-processing for strict-1 yet: .* on the cohort that it was trained"):
        plan_evaluation(specialist, other, processed=True)
    step = post_processing(specialist, cohort, load(specialist, "cpu"), STRICT)
    looked_at.clear()
    rows = evaluate_run(specialist, other, metrics=DICE, processed=True, device="cpu")
    assert {row.processing for row in rows} == {"raw", step.name}
    assert looked_at == {case.id for case in other.cases}


def test_a_threshold_that_was_chosen_by_other_cases_is_model(specialist: Path, cohort: Cohort) -> None:
    post_processing(specialist, cohort, load(specialist, "cpu"), STRICT)
    path = specialist / POSTPROCESS
    kept = json.loads(path.read_text())
    kept["strict-1"]["validation_cases"].append(cohort.cases[4].id)
    path.write_text(json.dumps(kept))
    with pytest.raises(ModelError, match=f"was chosen by {cohort.cases[4].id}, which is no validation case"):
        evaluate_run(specialist, cohort, processed=True, device="cpu")
    path.write_text("{")
    with pytest.raises(ModelError, match=r"postprocess.json is damaged"):
        evaluate_run(specialist, cohort, processed=True, device="cpu")


# --- a user's folds ---------------------------------------------------------------------------------------------------


def test_a_run_on_a_user_s_folds_is_scored_on_their_test_part(cohort: Cohort, tmp_path: Path) -> None:
    names = [case.id for case in cohort.cases]
    folds = [{"train": names[1:4], "validation": names[4:], "test": names[:1]}]
    (tmp_path / "split.json").write_text(json.dumps({"folds": folds}))
    words = ["--data", str(cohort.path), "--subset", "flair", "--steps", "1", "--width", "8", "--patch", "16,16,16"]
    words += ["--precision", "float32", "--device", "cpu", "--out", str(tmp_path / "runs")]
    assert main(["train", "supervised", *words, "--split", str(tmp_path / "split.json"), "--folds", "1"]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert plan_evaluation(folder, cohort).cases == cohort.cases[:1]
    origin = json.loads((folder / "best" / "checkpoint.json").read_text())["origin"]
    assert len(origin["split_file"]) == 64 and str(tmp_path) not in json.dumps(origin)
    # The same file in another order is the same run; the cohort's own folds are another.
    folds[0]["train"].reverse()
    (tmp_path / "turned.json").write_text(json.dumps({"folds": folds}, indent=4))
    assert main(["train", "supervised", *words, "--split", str(tmp_path / "turned.json"), "--folds", "1"]) == 0
    assert list((tmp_path / "runs").iterdir()) == [folder]


def test_a_split_that_does_not_fit_stops_before_a_run_is_begun(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"folds": [{"train": ["nobody"], "test": ["neither"]}] * 5}))
    parts = {"method_settings": find("supervised").Settings(width=8)}
    experiment = plan("supervised", "flair", None, parts, tmp_path / "split.json")
    with pytest.raises(DataError, match="no case 'nobody'"):
        run(experiment, cohort, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()

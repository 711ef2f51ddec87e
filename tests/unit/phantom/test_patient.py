"""A phantom keeps the promises that everything trained on it relies on."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from limbeck.anatomy import Label, Modality
from limbeck.phantom import head, tumour
from limbeck.phantom.patient import Patient, grid, make

SPACING = 3.0
COUNT = 9


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    return [make(11, index, SPACING) for index in range(COUNT)]


def brain(patient: Patient) -> np.ndarray:
    """Where any sequence shows something; one may have been imaged in part."""
    return np.any([image > 0 for image in patient.images.values()], axis=0)


def standardised(patient: Patient, modality: Modality) -> np.ndarray:
    image, inside = patient.images[modality], brain(patient)
    return (image - image[inside].mean()) / image[inside].std()


def level(patients: list[Patient], modality: Modality, label: Label) -> float:
    """Mean over patients of the mean standardised signal of a tissue."""
    found = [p for p in patients if (p.labels == label).sum() > 20]
    assert len(found) >= 3
    return float(np.mean([standardised(p, modality)[p.labels == label].mean() for p in found]))


def healthy(patients: list[Patient], modality: Modality, share: float) -> float:
    """Mean over patients of a quantile of the standardised signal outside the tumour."""
    return float(np.mean([np.quantile(standardised(p, modality)[brain(p) & (p.labels == 0)], share) for p in patients]))


def test_same_arguments_give_the_same_patient(patients: list[Patient]) -> None:
    again = make(11, 3, SPACING)
    assert again.name == patients[3].name
    assert np.array_equal(again.labels, patients[3].labels)
    for modality in Modality:
        assert np.array_equal(again.images[modality], patients[3].images[modality])


@pytest.mark.parametrize(("seed", "index"), [(11, 4), (12, 3)])
def test_another_seed_or_index_gives_another_patient(patients: list[Patient], seed: int, index: int) -> None:
    other = make(seed, index, SPACING)
    assert other.name != patients[3].name
    assert not np.array_equal(other.labels, patients[3].labels)
    assert not np.array_equal(brain(other), brain(patients[3]))


def test_the_number_of_threads_does_not_matter() -> None:
    script = (
        "import hashlib; from limbeck.phantom.patient import make; p = make(11, 3, 4.0);"
        "print(hashlib.sha256(b''.join(p.images[m].tobytes() for m in sorted(p.images))).hexdigest())"
    )
    digests = set()
    for threads in ("1", "3"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1
    assert len(digests.pop()) == 64


def test_arrays_have_the_promised_form(patients: list[Patient]) -> None:
    for patient in patients:
        assert set(patient.images) == set(Modality)
        assert patient.labels.dtype == np.uint8
        assert patient.labels.shape == (80, 80, 52)
        assert set(np.unique(patient.labels)) <= {0, 1, 2, 3}
        for image in patient.images.values():
            assert image.dtype == np.float32
            assert image.shape == patient.labels.shape
            assert np.isfinite(image).all()
            assert image.min() == 0


def test_sequences_share_one_brain_and_labels_lie_in_it(patients: list[Patient]) -> None:
    for patient in patients:
        inside = brain(patient)
        assert 900 < inside.sum() * SPACING**3 / 1000 < 2300
        assert not patient.labels[~inside].any()
        assert not any((image > 0)[~inside].any() for image in patient.images.values())
        whole = [np.array_equal(image > 0, inside) for image in patient.images.values()]
        assert sum(whole) >= 3


def test_every_patient_has_a_tumour_of_credible_size(patients: list[Patient]) -> None:
    for patient in patients:
        assert 0.5 < (patient.labels > 0).sum() * SPACING**3 / 1000 < 330


def test_grid_is_that_of_brats() -> None:
    assert grid(1.0)[0] == (240, 240, 155)
    assert grid(2.0)[0] == (120, 120, 78)


def test_grids_of_two_spacings_see_the_same_millimetres() -> None:
    for axis in range(3):
        starts = [grid(s)[1][axis] * s - (grid(s)[2].first[axis] - 0.5 * s) for s in (1.0, 2.0, 3.0)]
        assert starts == pytest.approx([starts[0]] * 3, abs=1e-4)


def test_two_spacings_show_the_same_anatomy(patients: list[Patient]) -> None:
    fine = make(11, 0, 1.5)
    coarse = patients[0]
    for a, b in ((brain(fine), brain(coarse)), (fine.labels > 0, coarse.labels > 0)):
        pooled = a.reshape(80, 2, 80, 2, 52, 2).mean((1, 3, 5)) > 0.5
        assert 2 * (pooled & b).sum() / (pooled.sum() + b.sum()) > 0.85


def test_enhancement_shows_in_t1ce_alone(patients: list[Patient]) -> None:
    enhancing = level(patients, Modality.T1CE, Label.ENHANCING)
    assert enhancing > level(patients, Modality.T1CE, Label.NECROTIC_CORE) + 0.8
    assert enhancing > level(patients, Modality.T1CE, Label.OEDEMA) + 0.8
    assert enhancing > healthy(patients, Modality.T1CE, 0.9)
    assert level(patients, Modality.T1, Label.ENHANCING) < healthy(patients, Modality.T1, 0.7)


def test_oedema_is_bright_in_flair_and_dark_in_t1(patients: list[Patient]) -> None:
    assert level(patients, Modality.FLAIR, Label.OEDEMA) > healthy(patients, Modality.FLAIR, 0.95)
    assert level(patients, Modality.T1, Label.OEDEMA) < healthy(patients, Modality.T1, 0.75)
    assert level(patients, Modality.T2, Label.OEDEMA) > healthy(patients, Modality.T2, 0.5)


def test_necrosis_is_dark_after_gadolinium(patients: list[Patient]) -> None:
    assert level(patients, Modality.T1CE, Label.NECROTIC_CORE) < healthy(patients, Modality.T1CE, 0.5)


def test_no_image_tells_the_others_apart_by_scale(patients: list[Patient]) -> None:
    means = [p.images[m][brain(p)].mean() for p in patients for m in Modality]
    assert max(means) > 3 * min(means)


def test_mass_effect_moves_tissue_but_not_the_skull() -> None:
    rng = np.random.default_rng(5)
    own = tumour.plan(rng)
    at = head.place(rng, head.traits(rng), head.DRAFT)
    depth = -head.lobes(at)[0]
    moved, squeeze = tumour.pressed(at, own, depth)
    shift = np.sqrt(sum((a - b) ** 2 for a, b in zip(moved, at, strict=True)))
    assert shift[depth < 0].max() == 0
    assert 0 < shift.max() < own.push_mm + 1e-3
    assert 0 < squeeze.max() <= 0.9


def test_plans_cover_what_clinics_see() -> None:
    plans = [tumour.plan(np.random.default_rng(seed)) for seed in range(600)]
    plain = np.mean([plan.habit == "plain" for plan in plans])
    several = np.mean([len(plan.foci) > 1 for plan in plans])
    whole = np.array([plan.core_ml + plan.oedema_ml for plan in plans])
    assert 0.19 < plain < 0.31
    assert 0.09 < several < 0.21
    assert 60 < np.median(whole) < 125
    assert whole.max() <= 255.1
    assert {plan.habit for plan in plans} == set(tumour.HABITS)


def test_plain_tumours_have_no_enhancing_voxel() -> None:
    for index in range(60):
        streams = np.random.default_rng([21, index]).spawn(4)
        if tumour.plan(streams[1]).habit == "plain":
            labels = make(21, index, 5.0).labels
            assert (labels == Label.NECROTIC_CORE).any()
            assert not (labels == Label.ENHANCING).any()
            return
    pytest.fail("none of sixty tumours was plain")

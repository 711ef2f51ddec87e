"""Doubts about images that can be read: told when there is reason, and only then."""

from __future__ import annotations

import os
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from limbeck.anatomy import Modality, Subset
from limbeck.data.grid import Grid
from limbeck.data.importers import detect_layout
from limbeck.data.plausibility import doubts
from limbeck.data.volume import read_volumes
from limbeck.phantom.patient import make

FLAIR, T1, T1CE, T2 = Modality
SPACING = 4.0
# Swaps with T2, and of FLAIR with either T1. T1 with T1ce cannot be told.
TOLD = [pair for pair in combinations(Modality, 2) if pair != (T1, T1CE)]
REAL = os.environ.get("LIMBECK_REAL_DATA")


def on(images, spacing=SPACING):
    shape = next(iter(images.values())).shape
    return Grid.of(shape, np.diag([-spacing, -spacing, spacing, 1.0]))


def told(images, grid=None):
    return [(doubt.modality, doubt.what) for doubt in doubts(images, grid or on(images))]


def swapped(images, one, two):
    return {**images, one: images[two], two: images[one]}


def head(images, air=0.0, spacing=SPACING):
    """The head around a brain: fluid, dark bone, skin, and air with or without noise."""
    rng = np.random.default_rng(0)
    brain = np.logical_or.reduce([image != 0 for image in images.values()])
    beyond = ndimage.distance_transform_edt(~brain, sampling=spacing)
    whole = {}
    for modality, image in images.items():
        usual = np.median(image[brain])
        layers = [(beyond > 9) & (beyond <= 15), (beyond > 2.5) & (beyond <= 9), (beyond > 0) & (beyond <= 2.5)]
        seen = np.select(layers, [1.2 * usual, 0.05 * usual, 0.4 * usual], image)
        seen = np.abs(seen + 0.02 * usual * rng.standard_normal(seen.shape))
        whole[modality] = np.where((beyond > 15) & (air == 0), 0, seen).astype(np.float32)
    return whole


@pytest.fixture(scope="module")
def patients():
    return [make(21, index, SPACING).images for index in range(4)]


@pytest.fixture(scope="module")
def patient(patients):
    return patients[0]


def test_sound_patients_raise_no_doubt_whatever_is_given(patients):
    for images in patients:
        for subset in Subset.every():
            assert told({modality: images[modality] for modality in subset}) == []


@pytest.mark.parametrize("pair", TOLD, ids=str)
def test_swapped_sequences_are_named(patients, pair):
    one, two = pair
    found = [told(swapped(images, one, two)) for images in patients]
    right = [(None, f"{one.role} and {two.role} look swapped")]
    # A FLAIR looks the more like a T1ce the less fluid and oedema there is; T2 is beyond doubt.
    assert sum(doubt == right for doubt in found) >= (4 if T2 in pair else 3)
    assert all(doubt in (right, []) for doubt in found)


def test_t1_and_t1ce_are_passed_over_in_silence(patients):
    assert all(told(swapped(images, T1, T1CE)) == [] for images in patients)


@pytest.mark.parametrize("given", [T1, T1CE, FLAIR])
def test_a_t2_under_another_name_is_told_where_the_t2_is_missing(patients, given):
    for images in patients:
        others = {modality: image for modality, image in images.items() if modality is not T2}
        assert told({**others, given: images[T2]}) == [(given, f"{given.role} looks like a t2 image")]


@pytest.mark.parametrize(("axis", "sense"), [(0, "left-right"), (1, "front-back"), (2, "up-down")])
@pytest.mark.parametrize("modality", Modality)
def test_a_mirrored_sequence_is_named(patient, modality, axis, sense):
    images = {**patient, modality: np.flip(patient[modality], axis)}
    assert told(images) == [(modality, f"{modality.role} looks mirrored ({sense}) against the other sequences")]


def test_of_two_sequences_that_oppose_none_is_named(patient):
    images = {T1: patient[T1], T2: patient[T2][::-1]}
    assert told(images) == [(None, "t1 and t2 look mirrored (left-right) against one another")]


def test_two_that_oppose_two_are_named(patient):
    images = {**patient, T1: patient[T1][::-1], T2: patient[T2][::-1]}
    assert told(images) == [(None, "flair and t1ce look mirrored (left-right) against t1 and t2")]


def test_left_is_known_in_any_orientation(patient):
    turned = {modality: image.transpose(2, 0, 1) for modality, image in patient.items()}
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = SPACING, SPACING, -SPACING, 1
    grid = Grid.of(turned[T1].shape, affine)
    assert told(turned, grid) == []
    ((modality, what),) = told({**turned, FLAIR: np.flip(turned[FLAIR], 1)}, grid)
    assert modality is FLAIR and "left-right" in what


@pytest.mark.parametrize("air", [0.0, 1.0], ids=["air of 0", "air with noise"])
def test_heads_that_were_not_stripped_are_told_once(patient, air):
    ((modality, what),) = told(head(patient, air))
    assert modality is None and all(role.role in what for role in Modality)
    for one in Modality:
        found = doubts({**patient, one: head(patient, air)[one]}, on(patient))
        assert [doubt.modality for doubt in found] == [one]
        assert "strip" in found[0].remedy


def test_part_of_a_head_is_known_by_its_skull(patient):
    slab = {modality: image[:, :, 12:26] for modality, image in head(patient).items()}
    ((_, what),) = told(slab)
    assert "skull" in what
    assert told({modality: image[:, :, 12:26] for modality, image in patient.items()}) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda image: image + 7, "the background is 7, not 0"),
        (lambda image: np.where(image > 0, 1000 + image / 1000, 0), "hardly any contrast"),
        (lambda image: np.ceil(image / image.max() * 5), "different values"),
        (
            lambda image: np.where(np.arange(image.size).reshape(image.shape) == 30000, 1e7, image),
            "what 99 % stay below",
        ),
    ],
    ids=["background", "flat", "levels", "spike"],
)
def test_odd_intensities_are_told(patient, spoil, words):
    ((modality, what),) = told({**patient, T1: spoil(patient[T1]).astype(np.float32)})
    assert modality is T1 and words in what


@pytest.mark.parametrize(
    ("spacing", "words"),
    [
        (0.004, "voxels of 0.004 x 0.004 x 0.004 mm"),
        (40.0, "voxels of 40"),
        (2.0, "the brain has"),
        (7.0, "ml are not 0"),
    ],
)
def test_a_wrong_voxel_size_is_told(patient, spacing, words):
    ((modality, what),) = told(patient, on(patient, spacing))
    assert modality is None and words in what


def test_a_long_brain_is_told(patient):
    # Every voxel as if it were a cube, of slices 4 mm apart with 1 mm in plane.
    stretched = {modality: np.repeat(image, 4, axis=0)[:, ::2, ::2] for modality, image in patient.items()}
    ((modality, what),) = told(stretched, on(stretched, 2.0))
    assert modality is None and "longer than any" in what


def test_intensities_that_were_normalised_before_are_understood(patient):
    def normalised(image):
        inside = image[image != 0]
        return np.where(image != 0, (image - inside.mean()) / inside.std(), 0).astype(np.float32)

    images = {modality: normalised(image) for modality, image in patient.items()}
    assert told(images) == []
    assert told(swapped(images, T1, T2)) == [(None, "t1 and t2 look swapped")]


def test_too_few_voxels_show_too_little():
    rng = np.random.default_rng(0)
    image = np.zeros((20, 20, 20), np.float32)
    image[5:15, 5:15, 5:15] = rng.random((10, 10, 10))
    assert told({T1: image, T2: image[::-1]}, on({T1: image}, 1.0)) == []


@pytest.mark.parametrize("shared", [0, 1])
def test_sequences_with_hardly_a_voxel_in_common_are_told_of_what_can_be_told(shared):
    rng = np.random.default_rng(0)
    slabs = {T1: np.zeros((60, 60, 60), np.float32), T2: np.zeros((60, 60, 60), np.float32)}
    for image, first in ((slabs[T1], 5), (slabs[T2], 25 - shared)):
        image[first : first + 20, 5:55, 5:55] = rng.integers(50, 150, (20, 50, 50))
    assert told(slabs, on(slabs, 2.5)) == []


def test_doubts_take_little_time():
    rng = np.random.default_rng(0)
    large = {modality: np.zeros((240, 240, 155), np.float32) for modality in Modality}
    for image in large.values():
        image[50:190, 40:210, 20:140] = rng.random((140, 170, 120), np.float32)
    grid = on(large, 1.0)
    took = []
    for _ in range(3):
        start = time.process_time()
        doubts(large, grid)
        took.append(time.process_time() - start)
    # 0.2 s on a core; memory is slow where others share it.
    assert min(took) < 0.6


@pytest.mark.skipif(not REAL, reason="LIMBECK_REAL_DATA does not name the folder of the real cases")
@pytest.mark.parametrize("name", ["BraTS2018", "BraTS2021", "Task01_BrainTumour"])
def test_real_patients_raise_doubt_only_when_they_are_spoilt(name):
    folder = Path(REAL) / name
    for case in detect_layout(folder)[0].find(folder):
        roles = sorted(case.images)
        read = read_volumes([case.images[role] for role in roles])
        images, grid = {role: array for role, (array, _) in zip(roles, read, strict=True)}, read[0][1]
        for subset in Subset.every():
            assert told({modality: images[modality] for modality in subset}, grid) == []
        for other in (FLAIR, T1, T1CE):
            right = [(None, f"{other.role} and t2 look swapped")]
            assert told(swapped(images, other, T2), grid) == right
        for modality in Modality:
            ((odd, what),) = told({**images, modality: images[modality][::-1]}, grid)
            assert odd is modality and "mirrored (left-right)" in what

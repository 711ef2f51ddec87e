"""Small heads in the layouts that users have, written with numpy and nibabel alone."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

ROLES = ("flair", "t1", "t1ce", "t2")
SHAPE = (24, 28, 20)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def head(shape=SHAPE, seed=0):
    """Four images in Modality order and a segmentation in canonical codes: an ellipsoid with a ball in it."""
    rng = np.random.default_rng(seed)
    centred = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    brain = (centred**2).sum(0) < 0.7
    # No two patients have the same tumour.
    distance = np.sqrt(((centred - 0.15 - 0.02 * (seed % 8)) ** 2).sum(0))
    labels = np.select([distance < 0.15, distance < 0.28, distance < 0.42], [1, 3, 2], 0).astype(np.uint8)
    images = [
        np.where(brain, 200 + 30 * k + rng.normal(0, 20, shape) + 60 * (labels == 1 + k % 3), 0)
        .round()
        .astype(np.int16)
        for k in range(4)
    ]
    return images, labels


def save(path, array, affine=LPS, code=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, code)
    image.set_qform(affine, code)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def brats_case(folder: Path, name: str, seed=0, affine=LPS, roles=ROLES, suffix=".nii.gz", segmented=True):
    images, labels = head(seed=seed)
    for role in roles:
        save(folder / name / f"{name}_{role}{suffix}", images[ROLES.index(role)], affine)
    if segmented:
        codes = np.array([0, 1, 2, 4], np.uint8)
        save(folder / name / f"{name}_seg{suffix}", codes[labels], affine)
    return folder / name


@pytest.fixture
def brats(tmp_path):
    """Five patients in BraTS's folders."""
    folder = tmp_path / "BraTS"
    for number in range(5):
        brats_case(folder / ("HGG" if number % 2 else "LGG"), f"Brats18_P{number}_1", seed=number)
    return folder


@pytest.fixture
def decathlon(tmp_path):
    """One case in the Decathlon's layout, with channels in an order of its own."""
    folder = tmp_path / "Task01_BrainTumour"
    images, labels = head(seed=7)
    order = ("t2", "flair", "t1ce", "t1")
    stacked = np.stack([images[ROLES.index(role)] for role in order], axis=-1).astype(np.float32)
    affine = np.eye(4)
    save(folder / "imagesTr" / "BRATS_001.nii.gz", stacked, affine)
    save(folder / "labelsTr" / "BRATS_001.nii.gz", np.array([0, 2, 1, 3], np.uint8)[labels], affine)
    content = {
        # The keys count, not where they stand.
        "modality": {"3": "T1w", "0": "T2w", "2": "T1gd", "1": "FLAIR"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
        "training": [{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}],
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def phantoms():
    """The makers above, for tests that need other cases."""

    class Makers:
        brats_case = staticmethod(brats_case)
        head = staticmethod(head)
        save = staticmethod(save)
        roles = ROLES
        lps = LPS

    return Makers

"""Four real patients in the three layouts that users have: whatever was read can be written back, voxel for voxel."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from limbeck.anatomy import Modality
from limbeck.data.cohort import import_cohort
from limbeck.data.importers import detect_layout
from limbeck.data.inspection import inspect
from limbeck.data.volume import write_labels

REAL = os.environ.get("LIMBECK_REAL_DATA")
pytestmark = pytest.mark.skipif(not REAL, reason="LIMBECK_REAL_DATA does not name the folder of the real cases")


@pytest.mark.parametrize(
    ("name", "layout", "scheme", "axes", "count"),
    [
        ("BraTS2018", "brats", "brats2018", "LPS", 1),
        ("BraTS2021", "brats", "brats2018", "LPS", 2),
        ("Task01_BrainTumour", "msd", "msd", "RAS", 1),
    ],
)
def test_a_real_case_comes_back_voxel_for_voxel(tmp_path, name, layout, scheme, axes, count):
    folder = Path(REAL) / name
    importer, _ = detect_layout(folder)
    assert (importer.name, importer.scheme(folder)) == (layout, scheme)
    found = importer.find(folder)
    cohort = import_cohort(found, tmp_path / "cohort", scheme=scheme, layout=layout, source=folder, workers=1)
    assert len(cohort.cases) == count
    for case, origin in zip(cohort.cases, found, strict=True):
        assert case.present == (True,) * 4
        assert case.geometry.grid.orientation == axes
        whole = case.restore(torch.from_numpy(np.array(case.labels()))[None])
        written = tmp_path / "back.nii.gz"
        write_labels(written, case.geometry.to_native_scores(whole)[0].numpy(), case.geometry.grid, scheme)
        before, after = nib.load(origin.labels.path), nib.load(written)
        assert np.array_equal(np.asanyarray(before.dataobj), np.asanyarray(after.dataobj))
        scan = nib.load(origin.images[Modality.FLAIR].path)
        assert np.array_equal(scan.affine, after.affine)
        assert scan.header["qform_code"] == after.header["qform_code"]
        assert scan.header["sform_code"] == after.header["sform_code"]


def test_real_cases_have_no_findings():
    for name in ("BraTS2018", "BraTS2021", "Task01_BrainTumour"):
        assert inspect(Path(REAL) / name).findings == []

"""The command reads and writes every format, and the mask is the same whatever it came from and goes to."""

from __future__ import annotations

from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from segmenting import write_model
from series import write_series

from limbeck.anatomy import Label
from limbeck.cli import main
from limbeck.data.source import Source
from limbeck.data.volume import read_labels, read_volume

AFFINE = np.array([[-2.0, 0, 0, 40], [0, -2, 0, 30], [0, 0, 3, -20], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and one scan in four formats."""
    root = tmp_path_factory.mktemp("formats")
    write_model(root / "model", "supervised")
    x, y, z = np.meshgrid(*(np.linspace(-1.1, 1.1, size) for size in (24, 22, 12)), indexing="ij")
    noise = np.random.default_rng(0).integers(50, 300, x.shape)
    scan = np.where(x**2 + y**2 + z**2 < 1, noise, 0).astype(np.int16)
    nib.save(nib.Nifti1Image(scan, AFFINE), root / "scan.nii.gz")
    write_series(root / "series", scan, AFFINE)
    image = SimpleITK.GetImageFromArray(scan.transpose(2, 1, 0))
    image.SetSpacing((2.0, 2.0, 3.0))
    # ITK's world is LPS.
    image.SetOrigin((-40.0, -30.0, -20.0))
    for name in ("scan.mha", "scan.nrrd", "scan.mhd"):
        SimpleITK.WriteImage(image, str(root / name))
    return root


def predicted(bench: Path, scan: str, mask: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels and affine of the mask that the command makes."""
    assert main(["predict", str(bench / "model"), "--flair", str(bench / scan), "-o", str(mask), "--overwrite"]) == 0
    labels, grid = read_labels(Source(mask), "brats2018")
    return labels, grid.affine


def by_place(labels: np.ndarray, affine: np.ndarray) -> list[list[float]]:
    """Millimetres and label of every voxel that is no background, in an order that no file decides."""
    places = np.argwhere(labels) @ affine[:3, :3].T + affine[:3, 3]
    # + 0 makes a zero of a negative one.
    return sorted(np.column_stack([places.round(2) + 0, labels[labels > 0]]).tolist())


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha", ".nrrd"])
@pytest.mark.parametrize("scan", ["scan.nii.gz", "scan.mha", "scan.mhd", "scan.nrrd", "series"])
def test_a_mask_does_not_depend_on_the_formats(scan, ending, bench, tmp_path) -> None:
    expected, affine = predicted(bench, "scan.nii.gz", tmp_path / "expected.nii.gz")
    found, where = predicted(bench, scan, tmp_path / f"mask{ending}")
    assert len(np.unique(expected)) > 1
    own = read_volume(Source(bench / scan))[1].affine
    assert np.allclose(where, own, atol=1e-4), "over the scan that was given"

    assert by_place(found, where) == by_place(expected, affine)


def test_a_series_gets_a_segmentation_of_its_own_kind(bench, tmp_path) -> None:
    mask = tmp_path / "mask.dcm"
    words = ["--flair", str(bench / "series"), "-o", str(mask), "--probabilities"]
    assert main(["predict", str(bench / "model"), *words]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.dcm", "mask.json", "mask_probabilities.nii.gz"]
    expected, _ = predicted(bench, "series", tmp_path / "plain.nii.gz")
    read = highdicom.seg.segread(mask)
    named = {read.get_segment_description(number).segment_label: number for number in read.segment_numbers}
    volume = read.get_volume(combine_segments=True, dtype=np.uint8).array
    for label in (Label.NECROTIC_CORE, Label.OEDEMA, Label.ENHANCING):
        number = named.get(label.name.lower().replace("_", " "))
        found = 0 if number is None else int((volume == number).sum())
        assert found == int((expected == label).sum())
    assert named and expected.any()

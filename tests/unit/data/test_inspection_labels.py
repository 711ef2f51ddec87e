"""Segmentations: what was resampled is told from what was drawn."""

import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.data.case import Case, Source
from limbeck.data.grid import Grid
from limbeck.data.inspection_labels import apart_mm, corner, examine_labels

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def ball(shape=(40, 40, 40), radii=(4, 8, 12)):
    distance = np.sqrt(((np.stack(np.indices(shape)) - 19.3) ** 2).sum(0))
    return np.select([distance < radii[0], distance < radii[1], distance < radii[2]], [1, 4, 2], 0).astype(np.uint8)


@pytest.fixture
def examined(tmp_path, phantoms):
    def examine(codes, scheme="brats2018", affine=LPS):
        path = phantoms.save(tmp_path / "seg.nii", codes, affine)
        case = Case("P", "P", {Modality.T1: Source(tmp_path / "t1.nii")}, Source(path))
        return examine_labels(case, scheme, Grid.of(codes.shape, LPS), None)

    return examine


def test_a_drawn_segmentation_is_sound(examined):
    segmentation, findings = examined(ball())
    assert findings == []
    assert set(segmentation.label_ml) == {"necrotic_core", "oedema", "enhancing"} and segmentation.hash


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_steps_of_a_coarser_grid_are_told_with_their_axis(examined, axis):
    coarse = np.repeat(np.take(ball(), range(0, 40, 3), axis=axis), 3, axis=axis)
    _, (finding,) = examined(coarse)
    assert finding.severity == "warning"
    assert "steps of 3" in finding.what and f"along {'xyz'[axis]}" in finding.what


def test_slices_between_two_foci_are_no_steps(examined):
    codes = np.zeros((60, 40, 40), np.uint8)
    small = ball(radii=(2, 4, 5))
    codes[:40] |= np.roll(small, -12, axis=0)
    codes[20:] |= np.roll(small, 12, axis=0)
    assert examined(codes)[1] == []


def test_interpolated_codes_are_told_from_unknown_ones(examined):
    codes = ball()
    soft = codes.astype(np.float32)
    soft[1:] = (soft[1:] + soft[:-1]) / 2
    _, (finding,) = examined(soft)
    assert "voxels between the codes" in finding.what and "nearest" in finding.remedy
    skin = codes.copy()
    skin[(codes == 4) & (np.roll(codes, 1, 0) == 2)] = 3
    _, (finding,) = examined(skin)
    assert "unknown label 3, a thin layer" in finding.what
    _, (finding,) = examined(np.where(codes == 4, 3, codes))
    assert finding.what.endswith("unknown label 3")
    assert "brats2023" in finding.remedy
    assert examined(skin, "brats2024")[0] is not None


def test_a_value_that_is_almost_a_code_is_an_unknown_one(examined):
    _, (finding,) = examined(np.where(ball() == 4, np.float32(4.0001), ball()).astype(np.float32))
    assert finding.severity == "error"
    assert finding.what.endswith("unknown label 4.00010014, which interpolation leaves")


def test_the_farthest_corner_says_how_far_grids_lie_apart(examined):
    tilted = LPS.copy()
    # A slope of 0.01 over 39 voxels.
    tilted[0, 2] = 0.01
    _, (finding,) = examined(ball(), affine=tilted)
    assert finding.severity == "error"
    assert "0.39 mm apart at the farthest corner" in finding.what
    grid = Grid.of((40, 40, 40), LPS)
    assert apart_mm(grid, grid) == 0
    assert corner(grid, Grid.of((40, 40, 41), LPS)) == ""


def test_without_codes_the_mask_is_judged_and_no_volume_told(examined):
    segmentation, findings = examined(ball(), "")
    assert segmentation is not None and segmentation.label_ml is None and findings == []
    strange = ball()
    strange[strange > 0] = 7
    _, (finding,) = examined(strange, "")
    assert "unknown label 7" in finding.what
    _, (finding,) = examined(np.zeros_like(strange), "")
    assert "all background" in finding.what


@pytest.mark.parametrize(("radius", "told"), [(17, 0), (18, 1)])
def test_more_of_the_brain_than_a_tumour_takes_is_told(tmp_path, phantoms, radius, told):
    """As where a map of the brain's tissues was taken for a segmentation."""
    head = ball(radii=(0, 0, 22)) > 0
    path = phantoms.save(tmp_path / "seg.nii", ball(radii=(4, 8, radius)))
    case = Case("P", "P", {Modality.T1: Source(tmp_path / "t1.nii")}, Source(path))
    _, findings = examine_labels(case, "brats2018", Grid.of(head.shape, LPS), head)
    assert len(findings) == told
    if told:
        assert findings[0].severity == "warning"
        assert "57% of the brain is labelled" in findings[0].what and "tissues" in findings[0].remedy

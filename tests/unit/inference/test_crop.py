"""The centre crop: ACN's offsets on the stored axes, wherever these point in space."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.data.geometry import Geometry
from limbeck.data.grid import Grid
from limbeck.errors import UsageError
from limbeck.inference.crop import crop_of

CROP = crop_of((160, 192, 128))


def geometry(shape=(240, 240, 155), affine=(-1.0, -1.0, 1.0, 1.0), spacing=1.0) -> Geometry:
    return Geometry.of(Grid.of(shape, np.diag(affine)), spacing)


def test_no_extent_is_no_crop() -> None:
    assert crop_of(None) is None


def test_the_offsets_are_acn_s() -> None:
    assert CROP is not None
    assert CROP.native(geometry()) == (slice(39, 199), slice(23, 215), slice(13, 141))


@pytest.mark.parametrize("affine", [(-1.0, -1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0), (1.0, -1.0, -1.0, 1.0)])
def test_both_spaces_mean_the_same_voxels(affine) -> None:
    assert CROP is not None
    where = geometry(affine=affine)
    native = np.zeros(where.grid.shape, np.uint8)
    native[CROP.native(where)] = 1
    model = np.zeros(where.shape, np.uint8)
    model[CROP.box(where).slices] = 1
    assert CROP.box(where).shape == (128, 192, 160)
    assert np.array_equal(where.labels_to_native(model), native)


def test_axes_that_are_stored_otherwise_keep_their_lengths_in_space() -> None:
    """Sagittal slices first, as z, x, y: the crop is 128 long along z, wherever z is stored."""
    assert CROP is not None
    affine = np.eye(4)[:, [2, 0, 1, 3]]
    where = Geometry.of(Grid.of((155, 240, 240), affine), 1.0)
    assert CROP.native(where) == (slice(13, 141), slice(39, 199), slice(23, 215))


def test_a_short_axis_is_taken_whole() -> None:
    assert CROP is not None
    where = geometry((150, 193, 128))
    assert CROP.native(where) == (slice(0, 150), slice(0, 192), slice(0, 128))
    assert CROP.box(where).shape == (128, 192, 150)


def test_other_voxels_are_refused() -> None:
    assert CROP is not None
    with pytest.raises(UsageError, match=r"voxels of 2 x 2 x 2 mm: expected scans of 1 mm"):
        CROP.native(geometry(affine=(2.0, 2.0, 2.0, 1.0)))

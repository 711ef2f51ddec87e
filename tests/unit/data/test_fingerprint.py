"""The same voxels are known again, and others are not taken for them."""

import numpy as np
import pytest

from limbeck.data import fingerprint

IMAGE = np.random.default_rng(0).integers(0, 900, (6, 7, 8)).astype(np.float32)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    "same",
    [IMAGE.transpose(2, 0, 1), IMAGE[::-1, :, ::-1], np.pad(IMAGE, 3), IMAGE.astype(np.int16).astype(np.float32)],
    ids=["turned", "mirrored", "padded", "stored as whole numbers"],
)
def test_an_image_is_known_again(same):
    assert fingerprint.of_image(same) == fingerprint.of_image(IMAGE)


def test_one_voxel_makes_another_image():
    other = IMAGE.copy()
    other[3, 3, 3] += 1
    assert fingerprint.of_image(other) != fingerprint.of_image(IMAGE)
    # The same sum of values, and the same sum of squares, from other values.
    one, two = np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.float32)
    one[0, 0], one[1, 0, 0] = (1, 5), 6
    two[0, 0], two[1, 0, 0] = (2, 3), 7
    assert one.sum() == two.sum() and (one**2).sum() == (two**2).sum()
    assert fingerprint.of_image(one) != fingerprint.of_image(two)


def test_a_segmentation_is_known_again_where_its_places_are_the_same():
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[2:5, 3, 4], labels[2, 3:5, 4] = 1, 2
    known = fingerprint.of_labels(labels, LPS)
    # Stored with its first axis the other way, and its header says so.
    assert fingerprint.of_labels(labels[::-1], np.diag([1.0, -1.0, 1.0, 1.0])) == known
    turned = np.array([[0.0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert fingerprint.of_labels(labels.transpose(1, 0, 2), turned) == known
    assert fingerprint.of_labels(np.pad(labels, 2), LPS) == known
    # The same voxels in another place of the tumour are another drawing.
    assert fingerprint.of_labels(labels[::-1], LPS) != known
    assert fingerprint.of_labels(np.zeros_like(labels), LPS) == ""

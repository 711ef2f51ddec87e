"""The named step that takes a little enhancing tumour for none, and how its threshold is chosen."""

import numpy as np
import pytest

from limbeck.anatomy import Label
from limbeck.errors import DataError, UsageError
from limbeck.inference.postprocess import THRESHOLDS_MM3, DropSmallEnhancing, choose


def volume(enhancing: int) -> np.ndarray:
    """Oedema, a core, and that many voxels of enhancing tumour."""
    labels = np.zeros((12, 8, 8), dtype=np.uint8)
    labels[:6], labels[6] = Label.OEDEMA, Label.NECROTIC_CORE
    labels.reshape(-1)[448 : 448 + enhancing] = Label.ENHANCING
    return labels


def enhancing(labels: np.ndarray) -> int:
    return int((labels == Label.ENHANCING).sum())


def test_less_than_the_threshold_becomes_necrotic_core():
    labels = volume(29)
    done = DropSmallEnhancing(30.0).apply(labels, 1.0)
    assert enhancing(done) == 0
    assert (done[labels == Label.ENHANCING] == Label.NECROTIC_CORE).all()
    assert (done[labels != Label.ENHANCING] == labels[labels != Label.ENHANCING]).all()
    assert done.dtype == np.uint8
    assert enhancing(labels) == 29  # the raw prediction is reported beside it


def test_the_threshold_itself_stays():
    assert enhancing(DropSmallEnhancing(30.0).apply(volume(30), 1.0)) == 30


def test_voxels_count_by_their_volume():
    assert enhancing(DropSmallEnhancing(30.0).apply(volume(4), 8.0)) == 4
    assert enhancing(DropSmallEnhancing(30.0).apply(volume(3), 8.0)) == 0


def test_it_goes_by_the_whole_volume_not_by_lesion():
    labels = volume(0)
    for corner in ((0, 0), (0, 4), (4, 0), (4, 4)):
        labels[8:10, corner[0] : corner[0] + 2, corner[1] : corner[1] + 2] = Label.ENHANCING
    assert enhancing(DropSmallEnhancing(30.0).apply(labels, 1.0)) == 32


@pytest.mark.parametrize("voxels", [0, 1, 40])
def test_threshold_zero_changes_nothing(voxels):
    assert (DropSmallEnhancing(0.0).apply(volume(voxels), 1.0) == volume(voxels)).all()


def test_the_name_carries_the_threshold():
    assert DropSmallEnhancing(120.0).name == "et>=120mm3"
    assert DropSmallEnhancing(0.5).name == "et>=0.5mm3"


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_what_is_no_volume_is_refused(wrong):
    with pytest.raises(UsageError, match="threshold_mm3"):
        DropSmallEnhancing(wrong)


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_the_best_threshold_on_validation_is_chosen():
    """Up to 60 voxels there is nothing in truth; 150 are real: only 100 gets all three right."""
    pairs = [(volume(60), volume(0), 1.0), (volume(10), volume(0), 1.0), (volume(150), volume(150), 1.0)]
    assert choose(pairs, (0, 50, 100, 200)) == DropSmallEnhancing(100)
    assert choose([(labels, truth, 8.0) for labels, truth, _ in pairs], (0, 400, 800, 1600)).threshold_mm3 == 800


def test_nothing_is_dropped_where_small_tumours_are_real():
    assert choose([(volume(20), volume(25), 1.0), (volume(80), volume(70), 1.0)]).threshold_mm3 == 0


def test_of_equals_the_smallest_is_chosen_in_whatever_order():
    pairs = [(volume(10), volume(0), 1.0)]
    assert choose(pairs, (500, 50, 20, 0)).threshold_mm3 == 20
    assert choose([(volume(0), volume(0), 1.0)]).threshold_mm3 == THRESHOLDS_MM3[0] == 0


def test_predictions_may_come_one_by_one():
    assert choose(((volume(10), volume(0), 1.0) for _ in range(2)), (0, 20)).threshold_mm3 == 20


def test_without_predictions_nothing_is_chosen():
    with pytest.raises(DataError, match="no validation predictions"):
        choose([])

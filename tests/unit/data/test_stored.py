"""Arrays are read as NumPy reads them, whatever form their header has."""

import warnings

import numpy as np
import pytest

from limbeck.data import stored
from limbeck.errors import DataError

ARRAYS = {
    "images": np.arange(60, dtype=np.float16).reshape(3, 4, 5),
    "labels": np.arange(60, dtype=np.uint8).reshape(3, 4, 5),
    "foreground": np.arange(40, dtype=np.int16).reshape(10, 4),
    "nobody": np.zeros((0, 4), np.int16),
    "one axis": np.arange(5, dtype=np.int16),
    "turned": np.asfortranarray(np.arange(60, dtype=np.float16).reshape(3, 4, 5)),
    "other end first": np.arange(60, dtype=">i2").reshape(3, 4, 5),
    "wide": np.arange(20000, dtype=np.uint8).reshape(1, 20000),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back(name, tmp_path):
    path = tmp_path / "array.npy"
    np.save(path, ARRAYS[name])
    found = stored.read_array(path)
    assert found.dtype == ARRAYS[name].dtype
    assert np.array_equal(found, ARRAYS[name])
    assert not found.flags.writeable


@pytest.mark.parametrize("name", ["images", "labels", "foreground", "nobody"])
def test_what_a_cohort_holds_is_read_without_touching_other_threads(name, tmp_path, monkeypatch):
    """Silencing warnings does so in the whole process, and crops are read in a thread beside training."""
    path = tmp_path / "array.npy"
    np.save(path, ARRAYS[name])
    monkeypatch.setattr(warnings, "catch_warnings", None)
    assert np.array_equal(stored.read_array(path), ARRAYS[name])


def test_a_file_that_is_shorter_than_it_says_is_refused(tmp_path):
    path = tmp_path / "array.npy"
    np.save(path, ARRAYS["images"])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="damaged"):
        stored.read_array(path)

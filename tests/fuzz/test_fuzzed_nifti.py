"""Spoilt NIfTI files: some hundreds of the ten thousand that `make fuzz` reads."""

from __future__ import annotations

import gc
import gzip
import logging
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import judging
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from judging import READERS, Fault, judge
from long_run import series
from nifti_files import BOMBS, KINDS, Made, kind_of, make
from swelling import touch_fresh_pages

from limbeck.data.source import Source
from limbeck.data.volume import read_volume
from limbeck.errors import DataError

_COUNT = 200
_AT_ONCE = 40
_PROFILE = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def find(wanted: str) -> int:
    """The lowest number whose file is of a kind."""
    return next(number for number in range(10000) if kind_of(number) == wanted)


@pytest.fixture(scope="module")
def sound() -> Iterator[Made]:
    """An image to which nothing was done, packed."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(10000):
            made = make(number, Path(folder))
            if made.sound and not made.labels and made.path.name == "scan.nii.gz":
                yield made
                return


@pytest.mark.parametrize("first", range(0, _COUNT, _AT_ONCE))
def test_a_spoilt_file_is_refused_in_one_line_or_read_rightly(first: int) -> None:
    tally = series(range(first, first + _AT_ONCE))
    assert tally.faults == []
    assert tally.files == _AT_ONCE


@pytest.mark.parametrize("kind", sorted(BOMBS))
@pytest.mark.parametrize("reader", sorted(READERS))
def test_what_swells_is_refused_within_the_stated_memory(kind: str, reader: str, tmp_path: Path) -> None:
    verdict = judge(make(find(kind), tmp_path), reader)
    assert verdict.peak <= judging.SLACK
    if not (kind == "surplus bomb" and reader == "read_grid"):
        assert verdict.refused


@_PROFILE
@given(st.binary(max_size=700), st.sampled_from([".nii", ".nii.gz"]))
@example(b"", ".nii")
@example(b"\x1f\x8b", ".nii.gz")
@example(gzip.compress(b""), ".nii.gz")
def test_no_file_of_random_bytes_is_a_scan(content: bytes, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"scan{ending}"
        path.write_bytes(content)
        for reader in READERS:
            assert judge(Made(path, -1, "random", False, len(content)), reader).refused


@_PROFILE
@given(st.data())
def test_any_bytes_anywhere_in_a_header_are_refused_or_read_rightly(sound: Made, data: st.DataObject) -> None:
    content = bytearray(gzip.decompress(sound.path.read_bytes()))
    place = data.draw(st.integers(0, 540))
    patch = data.draw(st.binary(min_size=1, max_size=16))
    content[place : place + len(patch)] = patch
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nii"
        path.write_bytes(content)
        for reader in READERS:
            judge(Made(path, -1, "header", False, len(content)), reader)


def test_a_gzip_that_is_cut_anywhere_is_never_read(sound: Made, tmp_path: Path) -> None:
    data, path = gzip.compress(gzip.decompress(sound.path.read_bytes())), tmp_path / "cut.nii.gz"
    for length in (*range(60), *range(60, len(data) - 30, 13), *range(len(data) - 30, len(data))):
        path.write_bytes(data[:length])
        with pytest.raises(DataError):
            read_volume(Source(path))
    path.write_bytes(data)
    read_volume(Source(path))


def test_a_number_makes_its_file_again_and_every_kind_has_its_turn(tmp_path: Path) -> None:
    assert {kind_of(number) for number in range(3000)} == set(KINDS)
    for number in range(60):
        before = make(number, tmp_path)
        content = before.path.read_bytes()
        assert make(number, tmp_path) == before
        assert before.path.read_bytes() == content
        before.path.unlink()


def _loud(source: Source) -> object:
    print("a word")
    return read_volume(source)


def _warning(source: Source) -> object:
    warnings.warn("careful", RuntimeWarning, stacklevel=1)
    return read_volume(source)


def _logging(source: Source) -> object:
    logging.getLogger("nibabel").warning("pixdim[0] should be 1")
    return read_volume(source)


def _wrong_value(source: Source) -> object:
    image, grid = read_volume(source)
    image[2, 2, 2] += 1
    return image, grid


def _greedy(source: Source) -> object:
    touch_fresh_pages(2**29)
    return read_volume(source)


def _busy(source: Source) -> object:
    while source:
        pass
    return None


def _failing(line: str) -> object:
    def read(source: Source) -> object:
        raise DataError(line.format(path=source.path))

    return read


JUDGED = {
    "a word": _loud,
    "careful": _warning,
    "pixdim": _logging,
    "voxels differ": _wrong_value,
    "KeyError": lambda source: {}[source],
    "a sound file is refused": _failing("{path}: odd: export it again"),
    "does not name": _failing("odd: very: export it again"),
    "not one short line": _failing("{path}: odd\n: export it again"),
    "programmer": _failing("{path}: ValueError found: export it again"),
    "what would be right": _failing("{path}: odd"),
}


@pytest.mark.parametrize("found", sorted(JUDGED))
def test_the_judge_sees_what_it_forbids(found: str, sound: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "read_volume", JUDGED[found])
    with pytest.raises(Fault, match=found):
        judge(sound, "read_volume")


def test_the_judge_sees_what_hangs(sound: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "SECONDS", 0.3)
    monkeypatch.setitem(READERS, "read_volume", _busy)
    with pytest.raises(Fault, match="of work"):
        judge(sound, "read_volume")
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the most memory that was held")
def test_the_judge_sees_what_swells(sound: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "read_volume", _greedy)
    # What earlier tests left must not go back while this one's memory grows.
    gc.collect()
    with pytest.raises(Fault, match="MiB"):
        judge(sound, "read_volume")

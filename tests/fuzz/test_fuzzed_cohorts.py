"""Cohorts whose files were spoilt: a clear line or what was written, never a pickle, never a wait."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from some_patients import copy_first

from limbeck.anatomy import LABEL_SCHEMES, Modality
from limbeck.cli import main
from limbeck.data.cohort import Cohort
from limbeck.data.importers import detect_layout
from limbeck.errors import DataError

_ROUNDS = 300
_HOSTILE: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        2**70,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "../../etc/passwd",
        "a" * 300,
        "\0",
        "\udcff",
    ),
    *([], {}, [[]], {"x": []}, [0] * 3, [1, 2, 3, 4], ["x"], [-5, 2, 3], [10**9] * 3),
)


@pytest.fixture(scope="module")
def original(five_patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small phantoms as a cohort."""
    root = tmp_path_factory.mktemp("cohorts")
    copy_first(five_patients, 2, root / "phantoms")
    reading = ["import", str(root / "phantoms"), "--spacing", "6", "--workers", "1", "--out", str(root / "cohort")]
    assert main(reading) == 0
    return root / "cohort"


@pytest.fixture
def cohort(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "cohort"))


def use(folder: Path) -> list[Any]:
    """Everything that anybody reads of a cohort."""
    cohort = Cohort.open(folder)
    read: list[Any] = [cohort.spacing_mm, cohort.scheme, cohort.normalisation, dict(cohort.skipped)]
    for case in cohort.cases:
        read += [case.id, case.patient, case.present, case.shape, case.segmented, case.normalisation, case.crop]
        read += [dict(case.label_ml), case.geometry.grid.affine.tolist(), case.geometry.axes]
        read += [np.array(case.images(modality)) for modality in Modality if case.present[modality]]
        read += [case.source(modality) for modality in Modality if case.present[modality]]
        if case.segmented:
            read += [np.array(case.labels()), case.foreground(), case.reference()[0]]
    return read


def outcome(folder: Path) -> str:
    """The lines of a refusal, or `read`; anything else is a failure of the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            use(folder)
        except DataError as error:
            lines = str(error)
            for line in lines.split("\n"):
                assert line.count(": ") >= 2 or "no case" in line or "has no" in line, line
                assert len(line) < 400 + len(str(folder)), line
                assert "Traceback" not in line
            return lines
    return "read"


def verified(folder: Path) -> str:
    try:
        Cohort.open(folder).verify()
    except DataError as error:
        return str(error)
    return "whole"


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a JSON document."""
    yield path
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def put(content: Any, path: tuple[Any, ...], value: Any, remove: bool) -> Any:
    if not path:
        return value
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if remove:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return content


@pytest.mark.parametrize("name", ["cohort.json", "case.json"])
def test_a_record_with_any_value_spoilt_is_refused_or_harmless(name: str, cohort: Path) -> None:
    path = next(cohort.rglob(name))
    whole = path.read_text(encoding="utf-8")
    ways = list(places(json.loads(whole)))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(_ROUNDS):
        way = ways[int(rng.integers(len(ways)))]
        value = _HOSTILE[int(rng.integers(len(_HOSTILE)))]
        spoilt = put(json.loads(whole), way, value, remove=bool(rng.random() < 0.25))
        path.write_text(json.dumps(spoilt), encoding="utf-8")
        refused += outcome(cohort) != "read"
        verified(cohort)
    assert refused > _ROUNDS / 4
    path.write_text(whole, encoding="utf-8")
    assert outcome(cohort) == "read"


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[" * 100000, b"{}", b"[]", b"null", b'"x"', b"{" + b'"a":{' * 5000, b"1" * 5000, b"NaN"],
    ids=lambda content: str(content[:8]),
)
@pytest.mark.parametrize("name", ["cohort.json", "case.json"])
def test_a_record_that_is_none_is_refused(name: str, content: bytes, cohort: Path) -> None:
    path = next(cohort.rglob(name))
    path.write_bytes(content)
    assert name in outcome(cohort)
    assert name in verified(cohort)


@pytest.mark.parametrize("name", ["flair.npy", "labels.npy", "foreground.npy", "reference.nii.gz", "t2.npy"])
def test_an_array_with_bytes_spoilt_or_cut_is_refused_or_told_by_its_checksum(name: str, cohort: Path) -> None:
    path = next(cohort.rglob(name))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for round_ in range(60):
        data = bytearray(whole)
        if round_ % 3 == 0:
            data = data[: int(rng.integers(200 if round_ % 2 else len(data)))]
        for _ in range(int(rng.integers(1, 5))):
            if data:
                # In NumPy's header or anywhere.
                data[int(rng.integers(min(128, len(data)) if rng.random() < 0.7 else len(data)))] = int(
                    rng.integers(256)
                )
        if bytes(data) != whole:
            path.write_bytes(data)
            outcome(cohort)
            assert path.name in verified(cohort)
    path.write_bytes(whole)
    assert verified(cohort) == "whole"


class Trap:
    """Whoever unpickles this is caught."""

    sprung = False

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return setattr, (Trap, "sprung", True)


def pickled(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    objects = np.empty(shape, object)
    objects.flat[0] = Trap()
    np.lib.format.write_array(stream, objects, allow_pickle=True)
    return stream.getvalue()


def archived() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.npy", pickled((2, 2)))
    return stream.getvalue()


def headed(header: str) -> bytes:
    text = header.encode("latin1").ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


STRANGE = {
    "pickle": pickle.dumps(Trap()),
    "objects": pickled((4, 5, 6)),
    "archive": archived(),
    "nothing": b"",
    "call": headed("__import__('os').system('true')"),
    "deep": headed("(" * 110),
    "tabs": headed("{'descr':\n\t'<f2'"),
    "old": headed("{'descr': '<f2', 'fortran_order': False, 'shape': (3L, 4L, 5L), }"),
    "huge": headed("{'descr': '<f2', 'fortran_order': False, 'shape': (9999999999, 9999999999, 9), }"),
    "negative": headed("{'descr': '<f2', 'fortran_order': False, 'shape': (-1, 4, 5), }"),
    "records": headed("{'descr': [('x', '<f2'), ('y', '|O')], 'fortran_order': False, 'shape': (2, 2, 2), }"),
    "version": b"\x93NUMPY\x09\x00" + bytes(200),
    "long": b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b"{" * 1000,
}


@pytest.mark.parametrize("kind", sorted(STRANGE))
@pytest.mark.parametrize("name", ["flair.npy", "labels.npy", "foreground.npy"])
def test_no_array_is_unpickled_or_executed(kind: str, name: str, cohort: Path) -> None:
    next(cohort.rglob(name)).write_bytes(STRANGE[kind])
    assert name in outcome(cohort)
    assert name in verified(cohort)
    assert not Trap.sprung


def test_the_trap_works() -> None:
    np.lib.format.read_array(io.BytesIO(pickled((1,))), allow_pickle=True)
    sprung, Trap.sprung = Trap.sprung, False
    assert sprung


@pytest.mark.skipif(sys.platform == "win32", reason="FIFOs are Unix's")
@pytest.mark.parametrize("name", ["cohort.json", "case.json", "flair.npy", "reference.nii.gz"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "zero", "dangling", "loop"])
def test_what_is_no_file_is_refused_at_once(name: str, kind: str, cohort: Path) -> None:
    path = next(cohort.rglob(name))
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"zero": "/dev/zero", "dangling": "gone", "loop": path.name}[kind])
    assert name in outcome(cohort)
    assert name in verified(cohort)


def test_a_file_that_was_exchanged_after_the_cohort_was_opened_is_refused(cohort: Path) -> None:
    case = Cohort.open(cohort).cases[0]
    for name, read in (
        ("flair.npy", lambda: case.images(Modality.FLAIR)),
        ("labels.npy", case.labels),
        ("foreground.npy", case.foreground),
        ("reference.nii.gz", case.reference),
    ):
        path = case.folder / name
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(DataError, match=name):
            read()


def test_sampled_places_outside_the_case_are_refused(cohort: Path) -> None:
    path = next(cohort.rglob("foreground.npy"))
    sound = np.load(path)
    for column, value in ((0, 9), (0, -1), (1, 30000), (3, -1)):
        places_ = sound.copy()
        places_[0, column] = value
        np.save(path, places_)
        assert "foreground.npy: not labels and places" in outcome(cohort)
    np.save(path, sound[:, :3])
    assert "foreground.npy: not labels and places" in outcome(cohort)


def test_importing_onto_a_spoilt_cohort_is_one_line(cohort: Path, original: Path, capsys) -> None:
    manifest = cohort / "cohort.json"
    whole = json.loads(manifest.read_text(encoding="utf-8"))
    importer, _ = detect_layout(original.parent / "phantoms")
    assert importer.scheme(original.parent / "phantoms") in LABEL_SCHEMES
    for spoilt in ({**whole, "cases": 3}, {**whole, "cases": [{}]}, {**whole, "skipped": None}, {"version": 1}):
        manifest.write_text(json.dumps(spoilt), encoding="utf-8")
        words = ["import", str(original.parent / "phantoms"), "--spacing", "6", "--workers", "1", "--out", str(cohort)]
        capsys.readouterr()
        assert main(words) == DataError.exit_code
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "cohort.json" in said
        assert json.loads(manifest.read_text(encoding="utf-8")) == spoilt

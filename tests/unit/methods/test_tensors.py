"""A file of safetensors is believed when its header, its sizes and its length agree, and not before."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from limbeck.methods.tensors import Stored, read_header, read_tensors

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "b": torch.tensor(7),
    "c": torch.zeros(0, 4, dtype=torch.uint8),
    "d": torch.ones(3, dtype=torch.float64),
    "e": torch.tensor([True, False]),
    "f": torch.ones(2, dtype=torch.bfloat16),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "x.safetensors", metadata={"made": "for a test"})
    return tmp_path / "x.safetensors"


def written(path: Path, head: Any, payload: bytes = b"\0" * 24, length: int | None = None) -> None:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + payload)


def one(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **changes}}


def test_what_the_library_writes_is_read(path: Path) -> None:
    assert read_header(path) == {name: Stored(tensor.dtype, tuple(tensor.shape)) for name, tensor in TENSORS.items()}
    found = read_tensors(path)
    assert found.keys() == TENSORS.keys() and all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)
    assert str(read_header(path)["a"]) == "float32 [2, 3]"


def test_every_shorter_or_longer_file_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"header|bytes"):
            read_header(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="bytes"):
        read_header(path)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ([], "no JSON object"),
        (b"\xff\xff", "UTF-8"),
        (b"[" * 10_000, "nested"),
        (b'{"a": 1, "a": 1}', "twice"),
        ({"a": 1}, "dtype, a shape and offsets"),
        ({"a": {"dtype": "F32", "shape": [6]}}, "dtype, a shape and offsets"),
        (one(more=1), "dtype, a shape and offsets"),
        (one(dtype="O"), "is of 'O'"),
        (one(dtype=["F32"]), "is of"),
        (one(dtype="F64"), "in 24 bytes"),
        (one(shape=[2, True]), "has shape"),
        (one(shape=[2, -3]), "has shape"),
        (one(shape=[2.0, 3]), "has shape"),
        (one(shape=6), "has shape"),
        (one(shape=[1] * 9), "has shape"),
        (one(shape=[2**62, 2**62]), "in 24 bytes"),
        (one(shape=[2**63, 2**63, 0]), "in 24 bytes"),
        (one(data_offsets=[0]), "has shape"),
        (one(data_offsets=[24, 0]), "in -24 bytes"),
        (one(data_offsets=[4, 28]), "gap"),
        (one(data_offsets=[2**63, 2**63 + 24]), "gap"),
        ({**one(), "b": one()["a"]}, "gap or overlap"),
        ({"__metadata__": {"a": 1}, **one()}, "notes"),
        ({"__metadata__": [], **one()}, "notes"),
        ({}, "0 bytes of 24"),
    ],
)
def test_a_header_that_does_not_agree_is_refused(head: Any, says: str, tmp_path: Path) -> None:
    written(tmp_path / "x", head)
    with pytest.raises(ValueError, match=says) as caught:
        read_tensors(tmp_path / "x")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**31, 2**63, 2**64 - 1])
def test_an_announced_header_is_no_reason_to_take_memory(length: int, tmp_path: Path) -> None:
    written(tmp_path / "x", one(), length=length)
    with pytest.raises(ValueError, match="header"):
        read_header(tmp_path / "x")


def test_a_file_of_a_size_that_no_model_has_is_refused_at_once(path: Path) -> None:
    os.truncate(path, 2**40)
    with pytest.raises(ValueError, match=f"expected at most {2**35}"):
        read_header(path)


def test_what_is_no_file_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(ValueError, match="it is"):
            read_tensors(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "nothing")

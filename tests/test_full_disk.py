"""Without the space or the right to write, a command says so in one line, harms nothing, and goes on when it can.

Here are a few of the trials of the harness in `torture/`, of which `make torture` makes more, and its own test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from begun import Begun

HARNESS = Path(__file__).parent / "torture" / "full_disk.py"


def tried(out: Path, phantoms: Path, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, figures and words of the harness."""
    ended = Begun(HARNESS, "--phantoms", str(phantoms), "--out", str(out / "figures.json"), *words)
    said = "".join(ended.communicate(timeout=900))
    assert (out / "figures.json").is_file(), said
    return ended.returncode or 0, list(json.loads((out / "figures.json").read_text()).values()), said


def test_too_little_space_is_one_line_and_exit_code_5_and_harms_nothing(four_patients, tmp_path) -> None:
    names = ["import", "train dropout, generalist"]
    code, figures, said = tried(tmp_path, four_patients, "--shares", "0.3", "--limits", "1", "--only", *names)
    assert code == 0, said
    for found in figures:
        assert set(found["codes"]) <= {"5", "3"} and found["limited"] and found["forbidden"]
    if not all(found["full"] and found["read_only"] for found in figures):
        pytest.skip("no right to mount: limits on files were tried, small disks and read-only mounts were not")


def test_the_harness_catches_a_writer_in_place(four_patients, tmp_path) -> None:
    words = ["--careless", "in-place", "--shares", "0.3", "--limits", "1"]
    code, _, said = tried(tmp_path, four_patients, *words, "--only", "train dropout, generalist")
    assert code == 1, said
    assert "safetensors" in said

"""Killed at any moment, a command leaves whole files and goes on to the end that it would have had.

Here are a few kills by the harness in `torture/`, of which `make torture` makes hundreds, and its own test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from begun import Begun

HARNESS = Path(__file__).parent / "torture" / "kills.py"


def killed(out: Path, phantoms: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, figures and words of the harness."""
    ended = Begun(HARNESS, "--phantoms", str(phantoms), "--no-fresh", "--out", str(out / "figures.json"), *words)
    said = "".join(ended.communicate(timeout=900))
    assert (out / "figures.json").is_file(), said
    return ended.returncode or 0, json.loads((out / "figures.json").read_text()), said


def test_after_a_kill_files_are_whole_work_goes_on_and_the_end_is_the_same(four_patients, tmp_path) -> None:
    names = ["import", "train gkd, frozen teacher", "predict --folder", "pack --overwrite"]
    code, figures, said = killed(tmp_path, four_patients, "--kills", "8", "--only", *names)
    assert code == 0, said
    found = figures["all"]
    assert found["kills"] >= 8 and found["in_a_write"] > 0 and found["series"] >= len(names)
    assert (found["not_whole"], found["not_equal"], found["stuck"]) == (0, 0, 0)


def test_the_harness_catches_a_writer_that_copies_under_the_final_name(four_patients, tmp_path) -> None:
    words = ["--careless", "copying", "--before", "fsync", "--only", "train dropout, generalist"]
    code, figures, said = killed(tmp_path, four_patients, "--kills", "3", *words)
    assert code == 1, said
    assert figures["all"]["not_whole"] > 0

"""A matrix small enough for tests, and its plan."""

from __future__ import annotations

from pathlib import Path

from limbeck.benchmark.cells import Plan, plan
from limbeck.benchmark.matrix import read
from limbeck.commands.benchmark import _parse

SMALL = "{folds: 3, steps: 2, width: 8, patch: [16, 16, 16], device: cpu, precision: float32}"


def planned(folder: Path, text: str, settings: str = SMALL) -> Plan:
    path = folder / "matrix.yaml"
    path.write_text(f"{text}\nsettings: {settings}\n")
    return plan(read(path), _parse)

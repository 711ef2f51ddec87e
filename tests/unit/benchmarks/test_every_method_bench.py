"""The bench of every method gives each its teacher, without training any."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from benching import loaded

from limbeck.experiment import Experiment
from limbeck.methods import METHODS, find

bench = loaded("methods")


def test_every_method_is_trained_once_and_by_a_teacher_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Experiment] = []

    def run(experiment: Experiment, *_: object) -> Path:
        asked.append(experiment)
        return Path(f"{experiment.method}-{experiment.subset_name}")

    monkeypatch.setattr(bench, "run", run)
    arguments = argparse.Namespace(subset="t1ce", steps=1, width=8, patch=32, seed=0, out=Path("out"))
    runs = bench._train(arguments, None, {})
    assert set(METHODS) <= set(runs) and len(runs) == len(asked)
    for experiment in asked:
        for role, provider in find(experiment.method).needs.items():
            whole = "any" if find(provider).generalist else "flair+t1+t1ce+t2"
            assert experiment.teachers[role] == Path(f"{provider}-{whole}")

"""The page of ablations: its rows are experiments that train, its numbers are the papers'."""

from __future__ import annotations

import csv
import dataclasses
import functools
import re
import shlex

import pytest
import torch
from documents import ROOT, SHELL, commands, planned
from test_recipes import own
from toy import PROGRESS, batch, make

from limbeck.experiment import Experiment
from limbeck.methods import METHODS, find
from limbeck.training.optimise import Optimisers, OptimiserSettings
from limbeck.training.trainer import TrainingSettings, fabric_for

# What is promised here holds at any depth.
pytestmark = pytest.mark.usefixtures("shallow_unet")
PAGE = (ROOT / "docs" / "how-to" / "ablations.md").read_text()
PUBLISHED = ROOT / "src" / "limbeck" / "evaluation" / "published"
ROWS = [line for line in commands(PAGE, "limbeck") if line.startswith("limbeck train") and "--out" in line]


@functools.cache
def experiment_of(row: str) -> Experiment:
    found = planned(shlex.split(row, comments=True)[2:])
    assert found is not None
    return found


def named(row: str) -> str:
    """A row's method and what it changes."""
    _, _, method, *words = shlex.split(row, comments=True)
    changes = words[words.index("--out") + 2 :]
    return " ".join([method, *(word for word in changes if word not in ("--subset", "--teacher", "RUN"))])


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_every_row_trains(row: str) -> None:
    """One step on a toy, so that a term which is off leaves a network that can still descend."""
    experiment = experiment_of(row)
    settings = dataclasses.asdict(experiment.method_settings)
    small = {name: value for name, value in settings.items() if name in own(experiment.method)}
    method = make(experiment.method, **small)
    before = {name: value.detach().clone() for name, value in method.named_parameters()}
    fabric = fabric_for(TrainingSettings(precision="float32", device="cpu"))
    optimisers = Optimisers(method, OptimiserSettings())
    terms: set[str] = set()
    for yielded in method.train().training_step(batch(method.context.subsets), PROGRESS):
        terms |= yielded.get("main", {}).keys()
        optimisers.descend(fabric, yielded)
    assert ("segmentation" in terms) == (small.get("segmentation_weight", 1.0) > 0)
    assert any(not torch.equal(value, before[name]) for name, value in method.named_parameters())


def test_rows_of_a_block_are_different_experiments() -> None:
    for block in SHELL.findall(PAGE):
        rows = [experiment_of(row) for row in commands(f"```\n{block}```", "limbeck")]
        assert len({str(row.to_json()) for row in rows}) == len(rows) > 1


WEIGHTS = [
    (method, item.name, item.default)
    for method in METHODS
    for item in dataclasses.fields(find(method).Settings)
    if item.name.endswith("_weight")
]


@pytest.mark.parametrize(("method", "name", "default"), WEIGHTS, ids=str)
def test_every_term_is_switched_off_in_a_row_and_on_in_another(method: str, name: str, default: float) -> None:
    used = {getattr(experiment_of(row).method_settings, name) for row in ROWS if row.split()[2] == method}
    assert 0 in used and max(used) > 0
    assert default in used


@pytest.mark.parametrize("method", [method for method in METHODS if own(method)])
def test_every_switch_of_a_method_that_is_no_number_stands_on_the_page(method: str) -> None:
    defaults = {item.name: item.default for item in dataclasses.fields(find(method).Settings)}
    switches = {name for name in own(method) if isinstance(defaults[name], bool | str)}
    assert not {name for name in switches if f"--{name.replace('_', '-')} " not in PAGE}


@pytest.mark.parametrize("paper", ["gkd", "pkdr", "rirn"])
def test_numbers_beside_rows_are_those_that_the_paper_prints(paper: str) -> None:
    printed = set()
    for path in PUBLISHED.glob(f"{paper}-table*.csv"):
        with path.open(newline="", encoding="utf-8") as table:
            printed |= {row["value"] for row in csv.DictReader(table) if row["region"] == "mean"}
    (section,) = re.findall(rf"^## {paper.upper()}\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    shown = [number for block in SHELL.findall(section) for number in re.findall(r"\b\d\d\.\d\d\b", block)]
    assert len(shown) > 5
    assert not [number for number in shown if number not in printed]

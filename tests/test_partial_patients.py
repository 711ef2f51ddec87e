"""A cohort in which patients lack sequences trains, is scored and is reported on; each step says whom it used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from limbeck.anatomy import Modality, Subset
from limbeck.benchmark.work import Outcome, Task, work
from limbeck.cli import main
from limbeck.commands import benchmark as benchmark_command
from limbeck.data.cohort import Cohort
from limbeck.data.splits import folds
from limbeck.evaluation.table import Row, read

T1CE, ALL = Subset.parse("t1ce"), Subset.parse("all")
# A crop as large as a head, so that a prediction takes one window.
FAST = ["--width", "8", "--patch", "24,32,24", "--batch", "1", "--folds", "3", "--precision", "float32"]
FAST += ["--device", "cpu", "--steps", "1"]


class Ward:
    """Nine patients, three of whom lack sequences; what was trained on them, and what each command said."""

    def __init__(self, root: Path) -> None:
        self.root, self.cohort, self.runs, self.results = root, root / "cohort", root / "runs", root / "results.csv"
        self.made: dict[str, Path] = {}
        self.said: dict[str, str] = {}

    def train(self, name: str, *words: str) -> None:
        before = set(self.runs.glob("*"))
        common = ["--data", str(self.cohort), "--out", str(self.runs), *FAST]
        assert main(["train", *words, *common]) == 0
        (self.made[name],) = set(self.runs.glob("*")) - before

    @property
    def lacking(self) -> dict[str, set[Modality]]:
        """Case -> what it lacks, by the phantoms' own record."""
        record = json.loads((self.root / "phantoms" / "phantoms.json").read_text())["lacking"]
        return {case: {Modality.parse(role) for role in roles} for case, roles in record.items()}

    def having(self, part: str, subset: Subset) -> set[str]:
        """The cases of a part of the fold that have a subset."""
        cases = json.loads((self.made["teacher"] / "fold.json").read_text())[part]
        return {case for case in cases if not subset & self.lacking.get(case, set())}

    def part(self, name: str) -> set[str]:
        return set(json.loads((self.made["teacher"] / "fold.json").read_text())[name])

    def rows(self, name: str) -> list[Row]:
        return [row for row in read(self.results) if row.run == self.made[name].name]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    ward = Ward(tmp_path_factory.mktemp("partial"))
    making = ["phantom", "--cases", "9", "--missing", "0.4", "--seed", "3", "--spacing", "6", "--workers", "1"]
    assert main([*making, "--out", str(ward.root / "phantoms")]) == 0
    reading = ["import", str(ward.root / "phantoms"), "--spacing", "6", "--workers", "1"]
    assert main([*reading, "--out", str(ward.cohort)]) == 0
    capture = pytest.MonkeyPatch()
    with capture.context() as patch:
        for name, *words in (
            ("teacher", "supervised", "--subset", "all"),
            ("student", "gkd", "--subset", "t1ce", "--teacher", "TEACHER"),
            ("generalist", "dropout"),
            ("alone", "supervised", "--subset", "t1ce"),
        ):
            heard: list[str] = []
            patch.setattr("sys.stderr", Ear(heard))
            ward.train(name, *(str(ward.made["teacher"]) if word == "TEACHER" else word for word in words))
            ward.said[name] = "".join(heard)
        heard = []
        patch.setattr("sys.stderr", Ear(heard))
        runs = [str(folder) for folder in ward.made.values()]
        words = ["evaluate", *runs, "--data", str(ward.cohort), "--metrics", "dice", "-o", str(ward.results)]
        assert main(words) == 0
        ward.said["evaluate"] = "".join(heard)
    return ward


class Ear:
    """A stream that keeps what is written to it."""

    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    def write(self, text: str) -> int:
        self.heard.append(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return False


def test_the_cohort_is_as_partial_as_was_asked_for(ward: Ward) -> None:
    cohort = Cohort.open(ward.cohort)
    assert {case.id for case in cohort.cases if not all(case.present)} == set(ward.lacking)
    for case in cohort.cases:
        assert set(Modality) - ward.lacking.get(case.id, set()) == {item for item in Modality if case.present[item]}
    assert 0.2 * 9 <= len(ward.lacking) <= 0.6 * 9


def test_every_part_of_the_fold_can_serve_a_teacher(ward: Ward) -> None:
    for part in ("train", "validation", "test"):
        assert ward.having(part, ALL), part
    assert all(ward.part(part) - ward.having(part, ALL) for part in ("train", "test")), "the test needs partial cases"


@pytest.mark.parametrize(
    ("name", "needed"), [("teacher", ALL), ("student", ALL), ("alone", T1CE), ("generalist", None)]
)
def test_a_run_says_which_cases_it_learnt_from_and_why_not_from_the_others(
    ward: Ward, name: str, needed: Subset | None
) -> None:
    offered = ward.part("train")
    usable = ward.having("train", needed) if needed else offered
    (line,) = ward.said[name].strip().splitlines()
    assert f"{ward.made[name].name}: learnt from {len(usable)} of {len(offered)} cases" in line
    left_out = offered - usable
    if needed is T1CE:
        assert f"{len(left_out)} lack t1ce;" in line
    elif needed:
        for modality in Modality:
            count = sum(modality in ward.lacking[case] for case in left_out)
            assert (f"{modality.role} ({count})" in line) is (count > 0)
    assert ("looks at all four" in line) is (name == "student")
    session = json.loads((ward.made[name] / "environment.json").read_text())["sessions"][-1]
    assert (session["training_cases"], session["training_cases_left_out"]) == (len(usable), len(left_out))
    assert session["use"] in line


def test_no_case_is_scored_from_what_it_lacks_and_none_that_has_it_is_left_out(ward: Ward) -> None:
    for name, subsets in (("teacher", [ALL]), ("student", [T1CE]), ("alone", [T1CE]), ("generalist", Subset.every())):
        found = {subset: {row.case for row in ward.rows(name) if row.subset == subset} for subset in subsets}
        assert found == {subset: ward.having("test", subset) for subset in subsets}, name
        assert {row.subset for row in ward.rows(name)} == set(subsets)


def test_evaluation_says_on_how_many_cases_each_number_stands(ward: Ward) -> None:
    held = ward.part("test")
    said = {line.split(": ")[2]: line for line in ward.said["evaluate"].splitlines() if "scored on" in line}
    for name, subset in (("teacher", ALL), ("student", T1CE), ("alone", T1CE)):
        scored = ward.having("test", subset)
        # Nothing is said where all cases are scored from all that was asked for.
        line = said.get(ward.made[name].name, f"scored on {len(held)} of {len(held)} cases")
        assert f"scored on {len(scored)} of {len(held)} cases" in line
    assert len(said) >= 2
    told = said[ward.made["generalist"].name].partition("n = ")[2]
    counts = {
        subset: 0 if part[0] == "none" else int(part[0])
        for part in (group.split(" from ") for group in told.split("; "))
        for subset in part[1].split(", ")
    }
    assert counts == {str(subset): len(ward.having("test", subset)) for subset in Subset.every()}


def test_the_tables_have_the_n_of_each_line(ward: Ward, tmp_path: Path) -> None:
    assert main(["report", str(ward.results), "-o", str(tmp_path / "table.md")]) == 0
    text = (tmp_path / "table.md").read_text()
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| dropout")]
    assert {(line[1], int(line[2])) for line in lines} == {
        (str(subset), len(ward.having("test", subset))) for subset in Subset.every()
    }
    assert "Cases differ between sequences" in text
    assert main(["report", str(ward.results), "-o", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "compare within a row, not between rows" in page
    assert re.search(rf"n: flair {len(ward.having('test', Subset.parse('flair')))};", page)


def test_a_subset_that_no_case_has_is_data_and_says_whom_it_looked_at(ward: Ward, capsys, tmp_path: Path) -> None:
    split = {"folds": [{part: sorted(ward.part(part)) for part in ("train", "validation")}]}
    split["folds"][0]["test"] = sorted(set(ward.lacking) - ward.having("train", Subset.parse("t2")))[:1]
    split["folds"][0]["train"] = sorted(ward.having("train", ALL))
    (tmp_path / "split.json").write_text(json.dumps(split))
    words = ["--data", str(ward.cohort), "--out", str(tmp_path / "runs"), *FAST]
    words += ["--split", str(tmp_path / "split.json"), "--folds", "1"]
    assert main(["train", "supervised", "--subset", "all", *words]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(ward.cohort), "-o", str(tmp_path / "r.csv")]) == 3
    assert "none of 1 cases" in capsys.readouterr().err
    assert not (tmp_path / "r.csv").exists()


def test_validation_cases_without_the_sequences_stop_a_run_before_its_first_step(ward: Ward, capsys, tmp_path) -> None:
    without = next(case for case, lacks in ward.lacking.items() if Modality.T1CE in lacks)
    have = sorted(case.id for case in Cohort.open(ward.cohort).cases if case.present[Modality.T1CE])
    split = {"folds": [{"train": have[:2], "validation": [without], "test": have[2:3]}]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    words = ["--data", str(ward.cohort), "--out", str(tmp_path / "runs"), *FAST]
    words += ["--split", str(tmp_path / "split.json"), "--folds", "1"]
    assert main(["train", "supervised", "--subset", "t1ce", *words]) == 3
    said = capsys.readouterr().err
    assert "none of 1 validation cases has a segmentation and t1ce" in said and "--fold" in said
    assert not list((tmp_path / "runs").glob("*/last"))


MATRIX = """
methods: [supervised, gkd, dropout]
subsets: [t1ce, all]
folds: [{fold}]
settings: {{folds: 9, steps: 1, width: 8, patch: [24, 32, 24], batch: 1, device: cpu, precision: float32}}
metrics: [dice]
"""


def benchmark(ward: Ward, folder: Path, tested: set[str], *words: str) -> int:
    """A benchmark of the fold, of as many as there are patients, whose only test case is one of those."""
    drawn = folds(Cohort.open(ward.cohort), 9)
    number = next(number for number, fold in enumerate(drawn) if set(fold.test) <= tested)
    (folder / "matrix.yaml").write_text(MATRIX.format(fold=number))
    common = ["--data", str(ward.cohort), "--out", str(folder / "out"), "--workers", "1"]
    with pytest.MonkeyPatch.context() as patch:
        # A process for each cell would spend most of the time on starting.
        patch.setattr(benchmark_command, "_engine", lambda *_: Here())
        return main(["benchmark", str(folder / "matrix.yaml"), *common, *words])


class Here:
    """An engine that works in this process, one cell after the other."""

    def __init__(self) -> None:
        self.ended: list[Outcome] = []

    def room(self, task: Task) -> bool:
        return not self.ended

    def start(self, task: Task) -> None:
        self.ended.append(work(task))

    def wait(self, seconds: float) -> list[Outcome]:
        return [self.ended.pop() for _ in list(self.ended)]

    def close(self) -> None:
        """Nothing runs on."""


def test_a_benchmark_leaves_out_what_no_test_case_has_and_is_then_done(ward: Ward, capsys, tmp_path: Path) -> None:
    tested = {case for case, lacks in ward.lacking.items() if Modality.T1CE not in lacks}
    assert benchmark(ward, tmp_path, tested) == 0
    said = capsys.readouterr().out
    assert "left out, since no test case of fold" in said and f"has {ALL}: " in said
    assert "4 of 4 cells" in said
    rows = read(tmp_path / "out" / "results.csv")
    assert {(row.method, row.subset) for row in rows} == {(name, T1CE) for name in ("supervised", "gkd", "dropout")}
    assert {row.case for row in rows} <= tested
    assert benchmark(ward, tmp_path, tested, "--dry-run") == 0
    assert "4 of 4 cells are done" in capsys.readouterr().out


def test_a_benchmark_of_which_nothing_is_left_is_data(ward: Ward, capsys, tmp_path: Path) -> None:
    assert benchmark(ward, tmp_path, {case for case, lacks in ward.lacking.items() if Modality.T1CE in lacks}) == 3
    said = capsys.readouterr().err
    assert "no cell is left" in said and "has t1ce: " in said

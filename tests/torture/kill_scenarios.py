"""What is killed: command lines, and the folders that they start from, small enough to be made hundreds of times."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kill_moments import Surroundings, run

SMALL = ["--width", "8", "--patch", "16,16,16", "--folds", "3", "--precision", "float32", "--device", "cpu"]
# Checkpoints, validations and lines of the log at different steps.
RHYTHM = ["--batch", "1", "--steps", "4", "--save-every", "2", "--validate-every", "3", "--log-every", "2"]
MATRIX = """
phantoms: {cases: 6, spacing: 6, seed: 1}
methods: [gkd]
subsets: [flair]
metrics: [dice]
settings: {folds: 3, steps: 3, save_every: 1, batch: 1, width: 8, patch: [16, 16, 16], precision: float32, device: cpu}
"""
Needs = Literal["nothing", "scans", "cohort", "runs", "results"]
TEACHER, STUDENT, GENERALIST = "teacher", "student", "generalist"


@dataclass(frozen=True)
class Bench:
    """Inputs that every scenario may use.

    Attributes:
        folder: holds `phantoms`, `cohort`, `runs`, `results.csv`, `masks`, `pack` and `matrix.yaml`.
        runs: teacher, student and generalist -> the name of its folder.
    """

    folder: Path
    runs: Mapping[str, str]

    def path(self, name: str) -> str:
        """An input that commands read in place."""
        return str(self.folder / name)


@dataclass(frozen=True)
class Scenario:
    """A command that is killed and given again.

    Attributes:
        name: what it is called in tables.
        needs: how much of the bench has to be there.
        words: the command line, from the bench; paths are relative to the work folder but for what is read in place.
        given: inputs that are copied into the work folder before the first start, since the command writes into them.
        masks: pattern of masks that may at no moment stand without their JSON.
        before: command lines that make what the command finds.
    """

    name: str
    needs: Needs
    words: Callable[[Bench], list[str]]
    given: tuple[str, ...] = ()
    masks: str = ""
    before: tuple[Callable[[Bench], list[str]], ...] = field(default=())

    def prepare(self, bench: Bench, where: Surroundings) -> None:
        """Make the work folder anew."""
        clear(where.folder)
        for name in self.given:
            source = bench.folder / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, where.folder / name)
        for words in self.before:
            ended = run(words(bench), where)
            if ended.code != 0:
                raise RuntimeError(f"{self.name} cannot begin: {ended.told}")


def clear(folder: Path) -> None:
    """Empty a folder, which may be a mount."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def make_bench(folder: Path, temporary: Path, needs: Collection[Needs], phantoms: Path | None) -> Bench:
    """Make the inputs, as far as they are needed, from a copy of phantoms where there are some."""
    folder.mkdir(parents=True)
    where = Surroundings(folder, temporary)

    def done(*words: str) -> None:
        ended = run(words, where)
        if ended.code != 0:
            raise RuntimeError(f"limbeck {' '.join(words)}: {ended.told}")

    (folder / "matrix.yaml").write_text(MATRIX)
    if set(needs) <= {"nothing"}:
        return Bench(folder, {})
    _bring(phantoms, folder, done)
    if {"cohort", "runs", "results"} & set(needs):
        done("import", "phantoms", "--spacing", "9", "--workers", "1", "--out", "cohort")
    runs: dict[str, str] = {}
    if not {"runs", "results"} & set(needs):
        return Bench(folder, runs)

    def train(role: str, *words: str) -> None:
        before = {path.name for path in folder.glob("runs/*")}
        done("train", *words, "--data", "cohort", "--out", "runs", *SMALL, *RHYTHM)
        (runs[role],) = {path.name for path in folder.glob("runs/*")} - before

    train(TEACHER, "supervised", "--subset", "all")
    train(STUDENT, "gkd", "--subset", "flair", "--teacher", f"runs/{runs[TEACHER]}")
    train(GENERALIST, "dropout")
    both = [f"runs/{runs[role]}" for role in (STUDENT, GENERALIST)]
    done("pack", *both, "-o", "pack")
    if "results" in needs:
        done("evaluate", *both, "--data", "cohort", "--subsets", "flair", "--masks", "masks", "--out", "results.csv")
    return Bench(folder, runs)


def _bring(phantoms: Path | None, folder: Path, done: Callable[..., None]) -> None:
    if phantoms:
        shutil.copytree(phantoms, folder / "phantoms")
    else:
        done("phantom", "--cases", "4", "--spacing", "6", "--seed", "1", "--workers", "1", "--out", "phantoms")


def _train(*words: str) -> Callable[[Bench], list[str]]:
    return lambda bench: ["train", *words, "--data", "cohort", "--out", "runs", *SMALL, *RHYTHM]


def _distil(bench: Bench) -> list[str]:
    teacher = bench.path(f"runs/{bench.runs[TEACHER]}")
    return _train("gkd", "--subset", "t1ce", "--teacher", teacher, "--augment", "true")(bench)


def _distil_together(bench: Bench) -> list[str]:
    teacher = bench.path(f"runs/{bench.runs[TEACHER]}")
    return _train("gkd", "--subsets", "t1ce,t2", "--teacher", teacher, "--augment", "true")(bench)


def _evaluate(bench: Bench) -> list[str]:
    both = [f"runs/{bench.runs[role]}" for role in (STUDENT, GENERALIST)]
    words = ["evaluate", *both, "--data", "cohort", "--subsets", "flair,t1ce", "--metrics", "dice", "--processed"]
    # With it, the same command goes on before and after the table is written.
    return [*words, "--masks", "masks", "--out", "results.csv", "--resume"]


def _predict(*more: str) -> Callable[[Bench], list[str]]:
    return lambda bench: ["predict", bench.path("pack"), "--folder", bench.path("phantoms"), "-o", "masks", *more]


def _pack(*roles: str) -> Callable[[Bench], list[str]]:
    return lambda bench: [
        "pack",
        *(bench.path(f"runs/{bench.runs[role]}") for role in roles),
        *("-o", "model", "--overwrite"),
    ]


def _report(bench: Bench) -> list[str]:
    given = ["--runs", bench.path("runs"), "--data", bench.path("cohort"), "--masks", bench.path("masks")]
    return ["report", bench.path("results.csv"), *given, "--cases", "1", "-o", "report.html"]


def _phantom(layout: str) -> Callable[[Bench], list[str]]:
    words = ["phantom", "--cases", "3", "--spacing", "6", "--workers", "2", "--missing"]
    share = {"brats2020": "0.5"}
    return lambda bench: [*words, share.get(layout, "0"), "--layout", layout, "--out", "phantoms"]


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("phantom brats2020", "nothing", _phantom("brats2020")),
        Scenario("phantom msd", "nothing", _phantom("msd")),
        Scenario("phantom bids", "nothing", _phantom("bids")),
        Scenario(
            "import",
            "scans",
            lambda bench: ["import", bench.path("phantoms"), "--spacing", "6", "--workers", "2", "--out", "cohort"],
        ),
        Scenario("train gkd, frozen teacher", "runs", _distil, ("cohort",)),
        Scenario("train two students", "runs", _distil_together, ("cohort",)),
        Scenario("train mtcmkd, co-trained", "cohort", _train("mtcmkd", "--subset", "t1ce"), ("cohort",)),
        Scenario("train dropout, generalist", "cohort", _train("dropout"), ("cohort",)),
        Scenario("evaluate", "runs", _evaluate, ("cohort", "runs")),
        Scenario(
            "benchmark",
            "nothing",
            lambda bench: [
                "benchmark",
                bench.path("matrix.yaml"),
                "--workers",
                "1",
                "--threads",
                "1",
                "--out",
                "bench",
            ],
        ),
        Scenario("predict --folder", "runs", _predict("--probabilities"), masks="masks/*.nii.gz"),
        Scenario(
            "predict --overwrite",
            "runs",
            _predict("--overwrite"),
            before=(_predict("--probabilities", "--labels", "msd"),),
        ),
        Scenario("pack --overwrite", "runs", _pack(STUDENT, GENERALIST), before=(_pack(TEACHER),)),
        Scenario("report", "results", _report),
        Scenario(
            "demo",
            "nothing",
            lambda bench: [
                *("demo", "--cases", "4", "--steps", "2", "--spacing", "6", "--width", "8", "--patch", "32"),
                *("--out", "demo"),
            ],
        ),
    )
}

"""Whether distillation helps: every method against students that learn alone, for equal steps and for equal computing.

python benchmarks/distillation.py --out distillation                                     hours on two cores
python benchmarks/distillation.py --matrix MATRIX.yaml --factors 2 --out FOLDER          another matrix

First `limbeck benchmark` trains and scores the matrix, in which every student takes the same number of steps. Then
lone students take as many times more steps as `--factors` says, so that a method whose step costs twice as much has a
lone rival that computed as long. A teacher's own training, which serves all students of its seed, is in no factor.
Students of `limbeck` begin where the generalist's training ended, so two variants tell the start from the soft labels.
What is finished is kept: the same command goes on.

Differences are paired: a patient counts once for each subset, by the mean of Dice over WT, TC and ET and over seeds.
Intervals are bootstrapped by patient; p is Wilcoxon's, adjusted by Holm over all rows of a table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from limbeck.anatomy import Region, Subset
from limbeck.evaluation import table
from limbeck.evaluation.statistics import Bootstrap, Interval, holm, mean, paired_wilcoxon
from limbeck.evaluation.summary import MEAN, by_case, seed_means
from limbeck.evaluation.table import Row

MATRIX = Path(__file__).parents[1] / "configs" / "distillation.yaml"
ALONE = "supervised"
# Lone students, of classes and of overlapping regions, and one network for all subsets.
RIVALS = (ALONE, "pkdr_teacher", "dropout")

# Subset and case -> mean Dice.
Scores = Mapping[tuple[Subset, str], float]


@dataclass(frozen=True)
class Difference:
    """Of two ways to the same students, in mean Dice.

    Attributes:
        count: patients.
        better: of how many the first is better.
        mean: of the differences.
        interval: by patient.
        p: before adjustment.
    """

    count: int
    better: int
    mean: float
    interval: Interval | None
    p: float


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matrix", type=Path, default=MATRIX)
    parser.add_argument("--factors", default="1.5,2.5,4.5", help="times the steps, for lone students [1.5,2.5,4.5]")
    parser.add_argument("--out", type=Path, default=Path("distillation"))
    arguments = parser.parse_args()
    whole = benchmark(arguments.matrix, arguments.out / "equal-steps")
    cohort = ("--data", str(arguments.out / "equal-steps" / "cohort"))
    rows = {1.0: whole}
    steps = yaml.safe_load(arguments.matrix.read_text(encoding="utf-8"))["settings"]["steps"]
    for factor in map(float, filter(None, arguments.factors.split(","))):
        name = f"alone-{factor:g}"
        longer = derived(arguments.matrix, arguments.out / f"{name}.yaml", ALONE, {"steps": round(factor * steps)})
        rows[factor] = benchmark(longer, arguments.out / name, *cohort)
    text = "\n".join(page(rows))
    print(text)
    (arguments.out / "table.md").write_text(text + "\n", encoding="utf-8")
    write_runs([row for some in rows.values() for row in some], arguments.out / "runs.csv")


def benchmark(matrix: Path, out: Path, *options: str) -> list[Row]:
    """The rows of a matrix, trained and scored where that is not done yet.

    Raises:
        SystemExit: it failed, and has said why.
    """
    words = [sys.executable, "-m", "limbeck", "benchmark", str(matrix), "--out", str(out), *options]
    done = subprocess.run(words, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return table.read(out / "results.csv")


def derived(matrix: Path, out: Path, method: str, settings: Mapping[str, object], subsets: Sequence[str] = ()) -> Path:
    """Write the matrix for one method, and its teachers, with other settings, or for fewer subsets; returns where."""
    content = yaml.safe_load(matrix.read_text(encoding="utf-8"))
    content["methods"] = [method]
    content["method_settings"] = {method: {**content["method_settings"].get(method, {}), **settings}}
    content["subsets"] = list(subsets) or content["subsets"]
    content["recipe"] = str((matrix.parent / content["recipe"]).resolve())
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return out


def write_runs(rows: Sequence[Row], path: Path) -> None:
    """A line for each network and subset: the run with its hash, and its mean Dice by region."""
    found: dict[tuple[str, Subset], dict[Region, list[float]]] = {}
    for row in rows:
        if row.metric == "dice":
            regions = found.setdefault((row.run, row.subset), {region: [] for region in Region})
            regions[row.region].append(row.value)
    lines = ["run,subset,cases," + ",".join(region.name for region in Region)]
    for (run, subset), regions in found.items():
        values = ",".join(f"{mean(regions[region]):.4f}" for region in Region)
        lines.append(f"{run},{subset},{len(regions[Region.WT])},{values}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def page(rows: Mapping[float, Sequence[Row]]) -> Iterator[str]:
    """All tables, as Markdown."""
    students = {method: of_method(rows[1.0], method) for method in dict.fromkeys(row.method for row in rows[1.0])}
    students = {method: scores for method, scores in students.items() if scores}
    yield from means(students, rows)
    yield from rules(rows[1.0])
    for rival in (rival for rival in RIVALS if rival in students):
        yield f"\nAgainst {rival}, for equal steps:\n"
        others = {method: scores for method, scores in students.items() if method not in (rival, ALONE)}
        yield from differences({method: (scores, students[rival]) for method, scores in others.items()})
    for factor in sorted(set(rows) - {1.0}):
        yield f"\nAgainst students that learn alone for {factor:g} times the steps:\n"
        alone = of_method(rows[factor], ALONE)
        others = {method: scores for method, scores in students.items() if method not in RIVALS}
        yield from differences({method: (scores, alone) for method, scores in others.items()})


def rules(rows: Sequence[Row]) -> Iterator[str]:
    """What stands under the means: how many were scored, in which folds and seeds, and how empty regions count."""
    scored = [row for row in rows if row.metric == "dice"]
    told = {name: sorted({getattr(row, name) for row in scored}) for name in ("fold", "seed")}
    folds, seeds = (", ".join(map(str, numbers)) for numbers in told.values())
    empty = len({(row.run, row.case, row.region) for row in scored if row.note})
    yield f"\nn = {len({row.case for row in scored})} patients; fold {folds}; seeds {seeds}. Dice, mean of WT, TC, ET;"
    yield f"both empty 1, one empty 0, which happened in {empty} of {len(scored)} regions. No case is left out."


def of_method(rows: Sequence[Row], method: str) -> Scores:
    """Mean Dice over regions and seeds by subset and case; that of teachers, which see everything, is left out."""
    everything = Subset.parse("all")
    mine = [row for row in rows if row.method == method and row.subset != everything]
    subsets = dict.fromkeys(row.subset for row in mine)
    found = {subset: by_case([row for row in mine if row.subset == subset], "dice")[MEAN] for subset in subsets}
    return {(subset, case): value for subset, cases in found.items() for case, value in cases.items()}


def means(students: Mapping[str, Scores], rows: Mapping[float, Sequence[Row]]) -> Iterator[str]:
    """A line for each method, a column for each subset."""
    subsets = list(dict.fromkeys(subset for scores in students.values() for subset, _ in scores))
    yield "| method | " + " | ".join(map(str, subsets)) + " | seeds apart |"
    yield "|---|" + "--:|" * (len(subsets) + 1)
    for method, scores in students.items():
        yield _line(method, scores, subsets, rows[1.0])
    for factor in sorted(set(rows) - {1.0}):
        yield _line(
            f"{ALONE}, {factor:g} times the steps", of_method(rows[factor], ALONE), subsets, rows[factor], ALONE
        )


def _line(name: str, scores: Scores, subsets: Sequence[Subset], rows: Sequence[Row], method: str | None = None) -> str:
    cells = []
    for subset in subsets:
        values = [value for (own, _), value in scores.items() if own == subset]
        cells.append(f"{mean(values):.3f}" if values else "")
    mine = [row for row in rows if row.method == (method or name)]
    spreads = []
    for subset in subsets:
        if by_seed := seed_means([row for row in mine if row.subset == subset], "dice"):
            spreads.append(max(by_seed[MEAN]) - min(by_seed[MEAN]))
    apart = f"{max(spreads):.3f}" if spreads else ""
    return f"| {name} | {' | '.join(cells)} | {apart} |"


def differences(pairs: Mapping[str, tuple[Scores, Scores]]) -> Iterator[str]:
    """What each first gains over its second: over all subsets that both have, and for each by itself."""
    found: dict[tuple[str, str], Difference] = {}
    for method, (scores, rival) in pairs.items():
        shared = [key for key in scores if key in rival]
        found[method, "all of them"] = difference(scores, rival, shared)
        for subset in dict.fromkeys(subset for subset, _ in shared):
            found[method, str(subset)] = difference(scores, rival, [key for key in shared if key[0] == subset])
    adjusted = holm([one.p for one in found.values()])
    yield "| method | students of | Dice gained | 95 % interval | better in | p (Wilcoxon, Holm) |"
    yield "|---|---|--:|---|--:|--:|"
    for ((method, subset), one), p in zip(found.items(), adjusted, strict=True):
        interval = f"{one.interval.low:+.3f} to {one.interval.high:+.3f}" if one.interval else ""
        yield f"| {method} | {subset} | {one.mean:+.3f} | {interval} | {one.better} of {one.count} | {p:.2g} |"


def difference(first: Scores, second: Scores, keys: Sequence[tuple[Subset, str]]) -> Difference:
    """The first's mean Dice less the second's; a patient's subsets are drawn together and tested by their mean."""
    gained = {key: first[key] - second[key] for key in keys}
    cases = list(dict.fromkeys(case for _, case in keys))
    by_patient = [mean([gain for (_, case), gain in gained.items() if case == own]) for own in cases]
    draws = Bootstrap([case for _, case in keys])
    return Difference(
        len(by_patient),
        sum(gain > 0 for gain in by_patient),
        mean(list(gained.values())),
        draws.of_mean(list(gained.values())),
        paired_wilcoxon(by_patient, [0.0] * len(by_patient)),
    )


if __name__ == "__main__":
    main()

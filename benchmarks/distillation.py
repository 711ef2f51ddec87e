"""Whether distillation helps: every method against students that learn alone, for equal steps and for equal computing.

python benchmarks/distillation.py --out distillation             hours on two cores; its table from what is recorded
python benchmarks/distillation.py --tables                       the tables alone: a minute, nothing is trained
python benchmarks/distillation.py --matrix MATRIX.yaml --record FOLDER          another matrix

Seed by seed, `limbeck benchmark` trains and scores each method of the matrix, in which every student takes the same
number of steps, and lone students of other lengths: half of the steps, to show how far students have come; 2.25 times
as many, which is what RIRN and CHOI cost (docs/results/speed.md), more than GKD and PKDR and half of MTCM-KD. A
teacher's own training serves all students of its seed and is in no factor: benchmarks/ablations.py has a lone student
of as many steps as LIMBECK's generalist and student together. Rows are kept in docs/results/distillation; the same
command goes on where it stopped, on another machine too. Another matrix names its recipe, subsets, steps and seeds.

Tables are of the seeds that all methods have; `--methods` asks for some, while others are not trained yet. Differences
are paired: a patient counts once for each subset, by the mean of Dice over WT, TC and ET and over seeds. Intervals are
bootstrapped by patient; p is Wilcoxon's, adjusted by Holm over all rows of a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from recorded import Evidence, asked_for, distinct, of_one_cohort, write_runs

from limbeck.anatomy import Subset
from limbeck.evaluation.statistics import Bootstrap, Interval, holm, mean, paired_wilcoxon
from limbeck.evaluation.summary import MEAN, by_case, seed_means
from limbeck.evaluation.table import Row

# Students that learn alone: of classes, and of overlapping regions.
ALONE, REGIONS = "supervised", "pkdr_teacher"
RIVALS = {
    ALONE: "students that learn classes alone, for equal steps",
    REGIONS: "students that learn overlapping regions alone, for equal steps",
    "dropout": "one network for all subsets, which takes four times the steps",
}
OURS = "limbeck"
EVERYTHING = Subset.parse("all")

# Subset and case -> mean Dice.
Scores = Mapping[tuple[Subset, str], float]


@dataclass(frozen=True)
class Length:
    """A method, trained for so many times the matrix's steps."""

    method: str
    factor: float = 1.0

    def __str__(self) -> str:
        return self.method if self.factor == 1 else f"{self.method}, {self.factor:g} times the steps"


# Half the steps are shown and not tested.
LONE = [Length(ALONE, 0.5), Length(ALONE, 2.25)]
Measured = Mapping[Length, Sequence[Row]]


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
    parser.add_argument("--seeds", help="of the matrix's, these: 0,1 [all]")
    parser.add_argument(
        "--methods", help="of the matrix's, these, for equal steps alone: supervised,gkd [all, all lengths]"
    )
    arguments, evidence = asked_for(parser)
    seeds = [int(seed) for seed in arguments.seeds.split(",")] if arguments.seeds else evidence.content["seeds"]
    methods = arguments.methods.split(",") if arguments.methods else evidence.content["methods"]
    lengths = [Length(method) for method in methods] + ([] if arguments.methods else LONE)
    students, teachers = measured(evidence, lengths, seeds)
    if not students:
        raise SystemExit(f"{arguments.record} holds no seed of this matrix as a whole: run this without --tables")
    print("\n".join(page(students, teachers)))
    write_runs(arguments.record)


def measured(evidence: Evidence, lengths: Sequence[Length], seeds: Sequence[int]) -> tuple[Measured, list[Row]]:
    """Rows of the seeds that are whole: students by what they learnt and how long, and teachers."""
    steps = evidence.content["settings"]["steps"]
    students: dict[Length, list[Row]] = {}
    teachers: list[Row] = []
    for seed in seeds:
        longer = {length: {"steps": round(length.factor * steps)} for length in lengths if length.factor != 1}
        own = {length: evidence.rows(length.method, longer.get(length, {}), (), [seed]) for length in lengths}
        if not all(own.values()):
            continue
        for length, rows in own.items():
            mine = [row for row in rows if row.method == length.method and row.subset != EVERYTHING]
            students.setdefault(length, []).extend(mine)
        teachers += [row for row in chain(*own.values()) if row.subset == EVERYTHING]
    of_one_cohort([*chain(*students.values()), *teachers])
    return students, distinct(teachers)


def page(students: Measured, teachers: Sequence[Row]) -> Iterator[str]:
    """All tables, as Markdown."""
    scores = {length: by_patient(rows) for length, rows in students.items()}
    equal = {length.method: found for length, found in scores.items() if length.factor == 1}
    yield from means(students, scores)
    yield from rules([row for rows in students.values() for row in rows])
    told = {method: [row.value for row in teachers if row.method == method] for method in _methods(teachers)}
    if told:
        yield "Teachers, with all four sequences: " + ", ".join(f"{name} {mean(own):.3f}" for name, own in told.items())
    for rival, words in RIVALS.items():
        others = {method: found for method, found in equal.items() if method not in (rival, ALONE)}
        if rival in equal and others:
            yield f"\nAgainst {rival}, {words}:\n"
            yield from differences({method: (found, equal[rival]) for method, found in others.items()})
    if OURS in equal and len(equal) > 1:
        yield f"\nWhat {OURS} gains over each of the others:\n"
        others = {method: (equal[OURS], found) for method, found in equal.items() if method != OURS}
        yield from differences(others, by_subset=False)
    for longer in (length for length in scores if length.factor > 1):
        yield f"\nAgainst {longer}:\n"
        others = {method: found for method, found in equal.items() if method not in RIVALS}
        yield from differences({method: (found, scores[longer]) for method, found in others.items()})


def rules(rows: Sequence[Row]) -> Iterator[str]:
    """What stands under the means: how many were scored, in which folds and seeds, and how empty regions count."""
    told = {name: sorted({getattr(row, name) for row in rows}) for name in ("fold", "seed")}
    folds, seeds = (", ".join(map(str, numbers)) for numbers in told.values())
    empty = sum(bool(row.note) for row in rows)
    yield f"\nn = {len({row.case for row in rows})} patients; fold {folds}; seeds {seeds}. Dice, mean of WT, TC, ET;"
    yield f"both empty 1, one empty 0, which happened in {empty} of {len(rows)} regions. No case is left out."


def by_patient(rows: Sequence[Row]) -> Scores:
    """Mean Dice over regions and seeds by subset and case."""
    subsets = dict.fromkeys(row.subset for row in rows)
    found = {subset: by_case([row for row in rows if row.subset == subset], "dice")[MEAN] for subset in subsets}
    return {(subset, case): value for subset, cases in found.items() for case, value in cases.items()}


def means(students: Measured, scores: Mapping[Length, Scores]) -> Iterator[str]:
    """A line for each method and length, a column for each subset, and the most that seeds are apart in a column."""
    subsets = list(dict.fromkeys(subset for own in scores.values() for subset, _ in own))
    yield "| method | " + " | ".join(map(str, subsets)) + " | mean | seeds apart |"
    yield "|---|" + "--:|" * (len(subsets) + 2)
    for length, rows in students.items():
        own = {subset: [value for (mine, _), value in scores[length].items() if mine == subset] for subset in subsets}
        cells = [f"{mean(values):.3f}" if values else "" for values in own.values()]
        whole = f"{mean([mean(values) for values in own.values()]):.3f}" if all(own.values()) else ""
        by_seed = [
            seed_means([row for row in rows if row.subset == subset], "dice").get(MEAN, []) for subset in subsets
        ]
        spreads = [max(values) - min(values) for values in by_seed if len(values) > 1]
        apart = f"{max(spreads):.3f}" if spreads else ""
        yield f"| {length} | {' | '.join(cells)} | {whole} | {apart} |"


def _methods(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.method for row in rows))


def differences(pairs: Mapping[str, tuple[Scores, Scores]], by_subset: bool = True) -> Iterator[str]:
    """What each first gains over its second: over all subsets that both have, and for each by itself."""
    found: dict[tuple[str, str], Difference] = {}
    for method, (scores, rival) in pairs.items():
        shared = [key for key in scores if key in rival]
        found[method, "all of them"] = difference(scores, rival, shared)
        for subset in dict.fromkeys(subset for subset, _ in shared if by_subset):
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

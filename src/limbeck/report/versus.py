"""Every method against the lower bound and against dropout: paired differences, case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from limbeck.anatomy import Subset
from limbeck.evaluation import statistics
from limbeck.evaluation.comparable import step
from limbeck.evaluation.statistics import Bootstrap, Interval
from limbeck.evaluation.summary import MEAN, owners
from limbeck.report.comparison import Comparison, Line
from limbeck.report.grid import Column, Grid
from limbeck.report.scores import paired

# Rival -> what it is to the others.
RIVALS = {
    "supervised": "the lower bound: a network of its own for the same sequences",
    "dropout": "one network for all subsets, without distillation",
}


@dataclass(frozen=True)
class Difference:
    """A line minus a rival, on the cases that both have, by the case's mean over seeds.

    Attributes:
        line: what was compared.
        rival: what with: a line from the same sequences, processed by the same step.
        cases: on how many cases.
        left_out: how many cases only one of them has.
        mean: difference of mean Dice.
        interval: of the mean, by patient; none for one patient.
        median: the middle of the cases' differences.
        median_interval: of the median, by patient; none for one patient.
        better: cases in which the line is ahead.
        worse: cases in which it is behind.
        p: Wilcoxon's, two-sided, over patients.
        p_holm: adjusted over all differences of the table.
    """

    line: Line
    rival: Line
    cases: int
    left_out: int
    mean: float
    interval: Interval | None
    median: float
    median_interval: Interval | None
    better: int
    worse: int
    p: float
    p_holm: float

    @property
    def subset(self) -> Subset:
        """The sequences that both saw."""
        return self.line.subset


@dataclass(frozen=True)
class Versus:
    """All differences of a comparison: one family of tests.

    Attributes:
        differences: rival after rival, in the order of the lines.
        caption: the sentences that must stand under them.
    """

    differences: tuple[Difference, ...]
    caption: tuple[str, ...]


def versus(comparison: Comparison) -> Versus:
    """Test every line against each of `RIVALS` from the same sequences, by the mean over the three regions.

    A rival is the line of that label, or of that method where exactly one label has the method from those sequences.
    """
    rivals = tuple(RIVALS)
    found, unclear = [], []
    for place, rival in enumerate(rivals):
        for line in comparison.lines:
            sides = [_candidates(comparison, line, name) for name in rivals[: place + 1]]
            # Neither with itself, nor a second time the other way round.
            if any(line in side for side in sides):
                continue
            candidates = sides[-1]
            if len(candidates) > 1:
                names = ", ".join(candidate.title for candidate in candidates)
                unclear.append(f"{line.title} from {line.subset} has no one {rival} to be compared with, but {names}.")
            elif candidates and line.cases & candidates[0].cases:
                found.append(_difference(line, candidates[0], comparison.patients))
    adjusted = statistics.holm([difference.p for difference in found])
    family = tuple(replace(difference, p_holm=p) for difference, p in zip(found, adjusted, strict=True))
    return Versus(family, (*_caption(family, comparison), *unclear))


def grid(found: Versus) -> Grid:
    """The table: a line for each difference."""
    heads = (
        "Run",
        "Against",
        "Sequences",
        "n",
        "mean difference",
        "median difference",
        "better / worse",
        "p",
        "p (Holm)",
    )
    columns = tuple(Column(head, number=place > 2) for place, head in enumerate(heads))
    lines = [
        (
            each.line.title,
            each.rival.title,
            str(each.subset),
            str(each.cases),
            f"{each.mean:+.3f}\n{_bracket(each.interval)}",
            f"{each.median:+.3f}\n{_bracket(each.median_interval)}",
            f"{each.better} / {each.worse}",
            p_text(each.p),
            p_text(each.p_holm),
        )
        for each in found.differences
    ]
    rivals = [each.rival.label for each in found.differences]
    rules = frozenset(place for place in range(1, len(rivals)) if rivals[place] != rivals[place - 1])
    return Grid("Paired differences", columns, tuple(lines), found.caption, rules)


def p_text(p: float) -> str:
    """A p value for a table."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _candidates(comparison: Comparison, line: Line, rival: str) -> list[Line]:
    """The rival's lines from the same sequences and by the same step: the one of that label, or all of that method."""
    found = [
        other
        for other in comparison.lines
        if other.subset == line.subset
        and step(other.processing) == step(line.processing)
        and rival in (other.label, other.method)
    ]
    return [other for other in found if other.label == rival] or found


def _difference(line: Line, rival: Line, patients: Mapping[str, str] | None) -> Difference:
    ours, theirs = line.dice[MEAN], rival.dice[MEAN]
    by_case = paired(ours, theirs)
    values, people = list(by_case.values()), owners(by_case, patients)
    draws = Bootstrap(people)
    by_patient: dict[str, list[float]] = {}
    for person, value in zip(people, values, strict=True):
        by_patient.setdefault(person, []).append(value)
    means = [statistics.mean(found) for found in by_patient.values()]
    p = statistics.paired_wilcoxon(means, [0.0] * len(means))
    return Difference(
        line=line,
        rival=rival,
        cases=len(by_case),
        left_out=len(set(ours) ^ set(theirs)),
        mean=statistics.mean(values),
        interval=draws.of_mean(values),
        median=statistics.median(values),
        median_interval=draws.of_median(values),
        better=sum(value > 0 for value in values),
        worse=sum(value < 0 for value in values),
        p=p,
        p_holm=p,
    )


def _caption(family: Sequence[Difference], comparison: Comparison) -> list[str]:
    if not family:
        return [f"No line has {' or '.join(RIVALS)} from the same sequences to be compared with."]
    what = f"{comparison.measure} (the mean over WT, TC and ET)"
    rivals = list(dict.fromkeys(difference.rival.label for difference in family))
    described = "; ".join(f"{rival}: {RIVALS[rival]}" if rival in RIVALS else rival for rival in rivals)
    partial = "; ".join(
        f"{each.line.title} against {each.rival.title} from {each.subset}: {each.left_out}"
        for each in family
        if each.left_out
    )
    return [
        f"A difference is that of a case's {what}, averaged over folds and seeds, from the same sequences: positive "
        f"where the run is ahead. Rivals: {described}.",
        "n counts the cases that both have"
        + (f"; left out, since one of them lacks them: {partial}." if partial else "; neither lacks any."),
        f"In brackets, the {statistics.LEVEL:.0%} interval by patient: percentile bootstrap of the mean or the median, "
        f"{statistics.RESAMPLES} resamples.",
        "p: Wilcoxon's signed-rank test over patients, two-sided, pairs without a difference left out; it cannot fall "
        "below 0.05 with fewer than six patients.",
        f"p (Holm): adjusted over one family, which is all {len(family)} tests of this table.",
        *comparison.basis,
    ]


def _bracket(interval: Interval | None) -> str:
    return f"[{interval.low:+.3f}, {interval.high:+.3f}]" if interval else "[no interval]"

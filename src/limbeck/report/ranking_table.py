"""The ranking as tables: the order, and every two methods against each other."""

from __future__ import annotations

from limbeck.evaluation.ranking import COVERAGE, Ranking
from limbeck.evaluation.table import RAW
from limbeck.report.comparison import Comparison
from limbeck.report.grid import Column, Grid
from limbeck.report.versus import p_text


def places(ranking: Ranking, comparison: Comparison) -> Grid:
    """The final order, with each method's mean rank; `comparison` is of the same rows."""
    columns = (Column("Place"), Column("Run", number=False), Column("mean rank"))
    lines = [
        (f"{place}", label, f"{mean_rank:.2f}")
        for place, (label, mean_rank) in zip(_shared_places(ranking), ranking.places, strict=True)
    ]
    return Grid("Ranking", columns, tuple(lines), _caption(ranking, comparison))


def pairs(ranking: Ranking, comparison: Comparison) -> Grid:
    """Every two methods, the better first, with the p values of their difference; `comparison` is of the same rows."""
    columns = (
        Column("Better", number=False),
        Column("Worse", number=False),
        Column("difference of mean ranks"),
        Column("p"),
        Column("p (Holm)"),
    )
    lines = [
        (pair.better, pair.worse, f"{pair.difference:.2f}", p_text(pair.p), p_text(pair.p_holm))
        for pair in ranking.pairs
    ]
    return Grid("Ranking, method against method", columns, tuple(lines), _caption(ranking, comparison))


def _shared_places(ranking: Ranking) -> list[int]:
    """1, 2, 2, 4: methods of equal mean rank share the better place."""
    found: list[int] = []
    for number, (_, mean_rank) in enumerate(ranking.places):
        tied = number > 0 and abs(mean_rank - ranking.places[number - 1][1]) < 1e-9
        found.append(found[-1] if tied else number + 1)
    return found


def _caption(ranking: Ranking, comparison: Comparison) -> tuple[str, ...]:
    sequences = ", ".join(map(str, ranking.subsets))
    left = (
        f" {ranking.left_out} of {ranking.left_out + ranking.contests} contests lack a method and are left out."
        if ranking.left_out
        else ""
    )
    unranked = (
        f" Not ranked, since they were measured on less than {COVERAGE:.0%} of it: {', '.join(ranking.unranked)}."
        if ranking.unranked
        else ""
    )
    processing = "before any processing" if ranking.processing == RAW else f"after the step {ranking.processing}"
    return (
        f"For every case, subset, region and metric ({', '.join(ranking.metrics)}) the methods are ranked from 1, the "
        "best; ties share the mean of their ranks; a case's rank is the mean over these, and the mean rank that over "
        f"cases. Predictions {processing}.",
        f"Ranked on {ranking.cases} cases of {ranking.patients} patients, {ranking.contests} contests; sequences: "
        f"{sequences}.{left}{unranked}",
        f"p: two-sided, by {ranking.permutations} permutations, each of which swaps two methods' ranks in randomly "
        f"chosen patients. p (Holm): adjusted over one family, which is all {len(ranking.pairs)} pairs.",
        *comparison.basis,
    )

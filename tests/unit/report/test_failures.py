"""Failures: the worst first, with what went wrong, and a link where there is a picture."""

import re
from dataclasses import replace

from measured import TWO, rows

from limbeck.anatomy import Region
from limbeck.evaluation.table import REFERENCE_EMPTY
from limbeck.report.comparison import compare
from limbeck.report.failures import hardest_table, predictions, worst_table
from limbeck.report.scores import collect


def heads(text: str) -> list[str]:
    return [re.sub("<[^>]+>", "", head) for head in re.findall(r'<th scope="row">(.*?)</th>', text)]


def test_predictions_are_ranked_by_their_mean_dice():
    ranked = predictions(rows(TWO))
    assert [(one.method, one.case) for one in ranked[:4]] == [
        ("dropout", "a"),
        ("dropout", "b"),
        ("dropout", "c"),
        ("supervised", "c"),
    ]
    assert [one.mean for one in ranked] == sorted(one.mean for one in ranked)
    assert heads(worst_table(ranked, 4)) == ["a", "b", "c", "c"]


def test_processed_predictions_are_left_out():
    processed = [replace(row, processing="et>=120mm3", value=0.0) for row in rows(TWO)]
    assert predictions([*rows(TWO), *processed]) == predictions(rows(TWO))


def test_results_with_the_slice_mean_alone_are_ranked_by_it():
    legacy = [replace(row, metric="legacy_slice_mean") for row in rows(TWO)]
    assert predictions(legacy) == predictions(rows(TWO))


def test_an_empty_reference_and_a_distance_are_said():
    found = rows({("gkd", "flair"): {"a": 0.5}})
    found += [replace(row, metric="hd95_mm", value=12.25) for row in found]
    found = [
        replace(row, value=0.0 if row.metric == "dice" else 374.0, note=REFERENCE_EMPTY)
        if row.region is Region.ET
        else row
        for row in found
    ]
    text = worst_table(predictions(found), 5)
    assert text.count("12.2 mm") == 2
    assert text.count("reference empty") == 1
    assert "374" not in text


def test_only_what_the_viewer_holds_is_a_link():
    ranked = predictions(rows(TWO))
    text = worst_table(ranked, 20, {("a", "gkd-flair", "flair"), ("a", "gkd-flair", "t1ce")})
    assert re.findall("<a [^>]+>", text) == [
        '<a href="#viewer" data-case="a" data-run="gkd-flair" data-subset="flair">'
    ]


def test_the_hardest_case_has_the_lowest_mean_over_everything():
    text = hardest_table(collect(compare(rows(TWO))), 2)
    # c: 0.417; b: 0.575; a: 0.625.
    assert heads(text) == ["c", "b"]
    assert "<b>0.417</b>" in text
    assert "0.625 <small>gkd, flair</small>" in text
    assert "0.250 <small>dropout, flair</small>" in text


def test_names_arrive_as_text():
    hostile = '"><script>'
    found = rows({(hostile, "flair"): {hostile: 0.5}})
    shown = {(hostile, f"{hostile}-flair", "flair")}
    assert "<script" not in worst_table(predictions(found), 5, shown)
    assert "<script" not in hardest_table(collect(compare(found)), 5)

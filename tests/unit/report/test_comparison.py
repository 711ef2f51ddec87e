"""The comparison table: its numbers, its counts of empty regions, and what must stand under it."""

import csv
import io
import re
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from limbeck.anatomy import Region, Subset
from limbeck.errors import DataError, UsageError
from limbeck.evaluation import comparable
from limbeck.evaluation.table import Row
from limbeck.report import tables

T1CE, ALL = Subset.parse("t1ce"), Subset.parse("all")


def rows(run="r-alone", method="supervised", subset=T1CE, cases="abcd", dice=0.5, hd95=4.0, fold=0, seed=0):
    """Flat results; a case's place adds a hundredth to Dice, a millimetre to HD95 and a tenth for each region."""
    found = []
    for place, case in enumerate(cases):
        for region in Region:
            common = (run, method, fold, seed, case, subset, region)
            found.append(Row(*common, "dice", dice + 0.01 * place - 0.1 * region))
            found.append(Row(*common, "hd95_mm", hd95 + place))
    return found


def emptied(results, case, region, note, dice):
    return [
        Row(row.run, row.method, row.fold, row.seed, row.case, row.subset, row.region, row.metric, value, note)
        if row.case == case and row.region is region
        else row
        for row in results
        for value in [dice if row.metric == "dice" else 374.0 * (1 - dice)]
    ]


THREE = [
    *rows("r-gkd", "gkd", dice=0.7),
    *rows("r-alone"),
    *rows("r-teacher", subset=ALL, dice=0.9),
]
LABELS = {"r-teacher": "teacher", "r-alone": "alone", "r-gkd": "distilled"}


def printed(comparison, width=200):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(tables.terminal(comparison))
    return console.file.getvalue()


def unescaped_latex(comparison):
    text = tables.latex(comparison).replace("--", "–").replace("{[}", "[").replace("{]}", "]").replace(r"\%", "%")
    return re.sub(r"\\\\|\\(multicolumn|shortstack)\S*?\{", " ", text)


RENDERS = [printed, tables.markdown, tables.html_table, unescaped_latex]


def test_lines_come_in_the_order_of_the_labels():
    found = tables.compare(THREE, LABELS)
    assert [(line.label, str(line.subset)) for line in found.lines] == [
        ("teacher", "flair+t1+t1ce+t2"),
        ("alone", "t1ce"),
        ("distilled", "t1ce"),
    ]


def test_without_labels_a_run_goes_by_its_method():
    found = tables.compare(THREE)
    assert [(line.label, str(line.subset)) for line in found.lines] == [
        ("gkd", "t1ce"),
        ("supervised", "t1ce"),
        ("supervised", "flair+t1+t1ce+t2"),
    ]


def test_estimates_by_hand():
    (line,) = tables.compare(rows()).lines
    assert line.cells["WT"].dice == pytest.approx(np.mean([0.50, 0.51, 0.52, 0.53]))
    assert line.cells["ET"].dice == pytest.approx(0.315)
    assert line.cells["mean"].dice == pytest.approx(0.415)
    assert line.cells["TC"].hd95_mm == 5.5
    low, high = line.cells["WT"].interval
    assert 0.50 <= low < 0.515 < high <= 0.53


def test_hd95_is_a_median_so_one_empty_case_does_not_carry_it_away():
    found = emptied(rows(), "d", Region.ET, "prediction empty", 0.0)
    (line,) = tables.compare(found).lines
    assert line.cells["ET"].hd95_mm == 5.5
    assert line.cells["ET"].dice == pytest.approx((0.30 + 0.31 + 0.32 + 0.0) / 4)


def test_seeds_and_folds_of_a_case_are_averaged_before_patients_are_counted():
    found = tables.compare([*rows(seed=0, dice=0.4), *rows("r-2", seed=1, dice=0.6)])
    (line,) = found.lines
    assert line.dice["WT"]["a"] == pytest.approx(0.5)
    assert len(line.cases) == 4
    assert line.predictions == 8
    assert "seeds 0, 1" in found.caption[0]
    assert "counts once" in found.caption[0]


@pytest.mark.parametrize("render", RENDERS)
def test_empty_regions_are_counted_once_and_shown(render):
    found = emptied(rows(), "a", Region.ET, "both empty", 1.0)
    found = emptied(found, "b", Region.ET, "reference empty", 0.0)
    found = emptied(found, "c", Region.ET, "reference empty", 0.0)
    found = emptied(found, "d", Region.TC, "prediction empty", 0.0)
    comparison = tables.compare(found)
    assert comparison.lines[0].empty[Region.ET] == {"both empty": 1, "reference empty": 2, "prediction empty": 0}
    assert comparison.lines[0].empty[Region.WT] == {"both empty": 0, "reference empty": 0, "prediction empty": 0}
    assert "TC 0/0/1, ET 1/2/0 of 4" in render(comparison)


def test_every_other_table_of_the_rows_counts_their_empty_regions_too():
    comparison = tables.compare([*emptied(rows(), "a", Region.ET, "both empty", 1.0), *rows("r-gkd", "gkd")])
    assert any("in all lines together: ET 1/0/0 of 8." in sentence for sentence in comparison.basis)


@pytest.mark.parametrize("render", RENDERS)
def test_no_empty_region_is_said_too(render):
    assert "none of 4" in render(tables.compare(rows()))


@pytest.mark.parametrize("render", RENDERS)
@pytest.mark.parametrize(
    "needed",
    ["n = 4 cases", "fold 0", "seed 0", "gives Dice 1 and HD95 0", "374 mm", "six face", "95% interval by patient"],
)
def test_what_must_stand_under_every_table(render, needed):
    assert needed in " ".join(render(tables.compare(THREE, LABELS)).split())


@pytest.mark.parametrize("render", RENDERS)
def test_every_number_is_shown(render):
    text = render(tables.compare(THREE, LABELS))
    for number in ("0.915", "0.515", "0.715", "0.415", "5.5 mm"):
        assert number in text


def test_a_narrow_terminal_hides_nothing():
    text = printed(tables.compare(rows()), width=60)
    assert "…" not in text
    assert "0.515" in text
    assert "0.315" in text


def test_brackets_of_a_label_are_not_taken_for_markup():
    text = printed(tables.compare(rows(), {"r-alone": "[red]alone[/red]"}))
    assert "[red]alone[/red]" in text


def test_html_and_markdown_escape_labels():
    comparison = tables.compare(rows(), {"r-alone": "<b>a|b</b>"})
    assert "<b>a|b</b>" not in tables.html_table(comparison)
    assert "&lt;b&gt;a|b&lt;/b&gt;" in tables.html_table(comparison)
    assert "&lt;b&gt;a\\|b&lt;/b&gt;" in tables.markdown(comparison)


def test_markdown_lines_have_as_many_cells_as_the_heading():
    lines = [line for line in tables.markdown(tables.compare(THREE, LABELS)).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + 3


def test_csv_holds_the_unrounded_numbers():
    comparison = tables.compare(emptied(THREE, "a", Region.ET, "both empty", 1.0), LABELS)
    records = list(csv.DictReader(io.StringIO(tables.csv_text(comparison))))
    assert len(records) == 3 * 4 * 2
    wanted = {"label": "distilled", "region": "ET", "metric": "dice"}
    (one,) = [record for record in records if wanted.items() <= record.items()]
    line = comparison.lines[2]
    assert float(one["mean"]) == line.cells["ET"].dice
    assert float(one["mean_low"]) == line.cells["ET"].interval.low
    assert float(one["median_high"]) == line.summaries["dice"]["ET"].median_interval.high
    assert (one["protocol"], one["processing"], one["seeds_low"]) == ("strict-1", "raw", "")
    assert (one["both_empty"], one["reference_empty"], one["cases"], one["subset"]) == ("1", "0", "4", "t1ce")


def test_one_case_has_no_interval_and_says_so():
    comparison = tables.compare(rows(cases="a"))
    assert comparison.lines[0].cells["WT"].interval is None
    assert "no interval" in tables.markdown(comparison)


def test_hd95_may_be_missing():
    comparison = tables.compare([row for row in rows() if row.metric == "dice"])
    assert comparison.lines[0].cells["WT"].hd95_mm is None
    assert "HD95 not measured" in tables.html_table(comparison)


def made(results, **changes):
    return [replace(row, **changes) for row in results]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"protocol": "gkd-as-published-1"}, ["strict-1", "gkd-as-published-1"]),
        ({"data": "0123456789abcdef"}, ["fedcba987654", "0123456789ab"]),
        ({"data": ""}, ["fedcba987654", "do not name"]),
    ],
)
def test_rows_of_other_rules_or_other_data_are_refused_and_both_are_named(changes, named):
    ours = made(rows(), data="fedcba9876543210")
    others = made(rows("r-gkd", "gkd"), **{"data": "fedcba9876543210", **changes})
    with pytest.raises(UsageError) as error:
        tables.compare([*ours, *others])
    assert all(name in str(error.value) for name in named)
    assert [len(tables.compare(part).lines) for part in comparable.split([*ours, *others]).values()] == [1, 1]


@pytest.mark.parametrize("render", RENDERS)
def test_the_caption_states_protocol_and_cohort(render):
    text = " ".join(render(tables.compare(made(THREE, data="fedcba9876543210"), LABELS)).split())
    assert "sliding window" in text
    assert "cohort fedcba987654" in text


def test_an_unknown_protocol_is_said_to_be_unknown():
    assert any("other-7" in sentence for sentence in tables.compare(made(rows(), protocol="other-7")).caption)


def test_raw_and_processed_stand_side_by_side():
    processed = made(rows(dice=0.6), processing="et>=120mm3")
    found = tables.compare([*processed, *rows(), *rows("r-gkd", "gkd")])
    assert [line.title for line in found.lines] == ["supervised", "supervised, et>=120mm3", "gkd"]
    assert found.lines[0].cells["WT"].dice == pytest.approx(0.515)
    assert found.lines[1].cells["WT"].dice == pytest.approx(0.615)
    assert found.lines[1].predictions == 4
    assert any("own validation cases" in sentence for sentence in found.caption)


def test_folds_that_chose_different_thresholds_are_one_line():
    first = made(rows(cases="ab"), processing="et>=120mm3")
    second = made(rows("r-2", cases="cd", fold=1), processing="et>=80mm3")
    (line,) = tables.compare([*first, *second]).lines
    assert len(line.cases) == 4
    assert line.processing == "et>=120mm3, et>=80mm3"


def test_a_run_processed_twice_is_no_second_sample():
    with pytest.raises(DataError, match="et>=120mm3"):
        tables.compare([*made(rows(), processing="et>=120mm3"), *made(rows(), processing="et>=80mm3")])


@pytest.mark.parametrize("render", RENDERS)
def test_seeds_are_a_spread_and_no_patients(render):
    seeds = [*rows(seed=0, dice=0.4), *rows("r-2", seed=1, dice=0.6), *rows("r-3", seed=2, dice=0.5)]
    found = tables.compare(seeds)
    (line,) = found.lines
    assert line.cells["WT"].seeds == pytest.approx((0.415, 0.615))
    # The interval is that of one seed alone whose cases have the means: no narrower for three times the rows.
    assert line.cells["WT"].interval == pytest.approx(tables.compare(rows(dice=0.5)).lines[0].cells["WT"].interval)
    assert re.search(r"0\.4[12]5?–0\.6[12]5?", render(found))
    assert "not patients" in " ".join(render(found).split())


def test_one_seed_has_no_spread():
    found = tables.compare(rows())
    assert found.lines[0].cells["WT"].seeds is None
    assert not any("not patients" in sentence for sentence in found.caption)


def test_seeds_are_compared_on_the_cases_that_all_have():
    (line,) = tables.compare([*rows(cases="abcd", dice=0.4), *rows("r-2", cases="ab", seed=1, dice=0.4)]).lines
    assert line.cells["WT"].seeds == pytest.approx((0.405, 0.405))


def test_a_metric_that_is_missing_for_some_cases_is_counted():
    part = [row for row in rows() if row.metric == "dice" or row.case in "ab"]
    assert any("hd95_mm on 2 of 4 cases" in sentence for sentence in tables.compare(part).caption)


def test_results_with_the_slice_mean_alone_say_so():
    found = tables.compare([replace(row, metric="legacy_slice_mean") for row in rows() if row.metric == "dice"])
    assert found.lines[0].cells["WT"].dice == pytest.approx(0.515)
    assert any("no Dice by volume" in sentence for sentence in found.caption)


def test_ten_thousand_rows_are_summarised_in_seconds():
    names = [f"case{number}" for number in range(28)]
    results = []
    for number, method in enumerate(("supervised", "dropout", "gkd", "rirn")):
        for subset in Subset.every():
            results += rows(f"{method}-{subset}", method, subset, names, dice=0.3 + 0.05 * number)
    assert len(results) > 10_000
    begin = time.perf_counter()
    tables.compare(results)
    # Two seconds on an idle core.
    assert time.perf_counter() - begin < 20


def test_scans_of_a_patient_are_drawn_together():
    apart = tables.compare(rows())
    together = tables.compare(rows(), patients={"a": "p", "b": "p", "c": "q", "d": "q"})
    assert "of 2 patients" in together.caption[0]
    assert "patient of its own" in apart.caption[0]
    assert together.lines[0].cells["WT"].interval == pytest.approx((0.505, 0.525))


def test_lines_over_different_cases_are_flagged():
    comparison = tables.compare([*rows(), *rows("r-gkd", "gkd", cases="abc")])
    assert any("not measured on the same cases: do not compare" in sentence for sentence in comparison.caption)
    assert "n = 3 to 4 cases" in comparison.caption[0]
    assert not any("not measured" in sentence for sentence in tables.compare(THREE, LABELS).caption)


def test_where_cases_lack_sequences_lines_of_the_same_may_still_be_compared():
    complete = [*rows(subset=ALL, cases="ab"), *rows("r-gkd", "gkd", subset=ALL, cases="ab")]
    caption = tables.compare([*rows(), *rows("r-gkd", "gkd"), *complete]).caption
    (warning,) = (sentence for sentence in caption if "Cases differ between sequences" in sentence)
    assert "compare lines of the same sequences" in warning
    # Which is unknown: a fold of these sequences may be missing as well.
    assert "has the sequences" not in warning
    assert not any("do not compare them" in sentence for sentence in caption)


def uneven(*results):
    return [sentence for sentence in tables.compare([*results]).caption if "the same folds and seeds" in sentence]


def test_lines_of_different_folds_or_seeds_say_which():
    assert uneven(*rows(), *rows("r-gkd", "gkd", cases="efgh", fold=1)) == [
        "Lines are not of the same folds and seeds: supervised: fold 0 and seed 0; gkd: fold 1 and seed 0."
    ]
    seeds = [row for seed in range(3) for row in rows(f"r-gkd-{seed}", "gkd", seed=seed)]
    (sentence,) = uneven(*rows(), *seeds)
    assert sentence.endswith(": supervised: fold 0 and seed 0; gkd: fold 0 and seeds 0, 1, 2.")
    assert uneven(*rows(), *rows("r-gkd", "gkd")) == []


def test_sequences_and_steps_are_named_where_a_label_differs_in_them():
    unfinished = [*rows(), *rows("r-2", cases="efgh", fold=1), *rows("r-3", subset=ALL)]
    processed = [
        replace(row, processing="et>=9mm3" if row.subset == T1CE else "et>=7mm3") for row in unfinished if row.fold == 0
    ]
    (sentence,) = uneven(*unfinished, *processed)
    assert sentence.endswith(
        ": supervised from t1ce: folds 0, 1 and seed 0; supervised from flair+t1+t1ce+t2: fold 0 and seed 0; "
        "supervised, et: fold 0 and seed 0."
    )


@pytest.mark.parametrize(
    ("results", "labels", "error", "message"),
    [
        ([], {}, DataError, "no Dice"),
        ([row for row in rows() if row.metric != "dice"], {}, DataError, "no Dice"),
        ([row for row in rows() if row.region is not Region.TC], {}, DataError, "'a' has no dice for TC"),
        ([*rows(), *rows("r-other")], {}, DataError, "'r-alone' and 'r-other'"),
        ([*rows(), *rows("r-gkd", "gkd")], {"r-alone": "x", "r-gkd": "x"}, UsageError, "gkd, supervised"),
    ],
)
def test_what_cannot_be_compared_is_refused(results, labels, error, message):
    with pytest.raises(error, match=message):
        tables.compare(results, labels)


def test_a_case_without_its_patient_is_refused():
    with pytest.raises(DataError, match="'b' has no patient"):
        tables.compare(rows(), patients={"a": "p"})


def test_the_report_loads_no_torch():
    code = "import sys, limbeck.report.page, limbeck.report.figures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""A paper's table in its layout: every printed number stands in it, and ours stand beside them, marked."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from limbeck.anatomy import Region, Subset
from limbeck.errors import UsageError
from limbeck.evaluation.published import read, tables
from limbeck.evaluation.table import Row
from limbeck.report import paper_tables
from limbeck.report.comparison import compare
from limbeck.report.grid import FORMATS

T1CE, FLAIR, ALL = (Subset.parse(text) for text in ("t1ce", "flair", "all"))
EVERY = Subset.every()


def rows(method, dice, *, subsets=EVERY, metric="dice", run=None):
    """Three cases a hundredth apart; TC is a tenth below WT, and ET a tenth below TC."""
    return [
        Row(
            run or f"r-{method}-{subset}",
            method,
            0,
            0,
            case,
            subset,
            region,
            metric,
            dice + offset - 0.1 * region,
            data="0123456789abcdef",
        )
        for subset in subsets
        for case, offset in (("a", -0.01), ("b", 0.0), ("c", 0.01))
        for region in Region
    ]


def grid(id, results):
    return paper_tables.grid(id, compare(results) if results else None)


def heads(found):
    return [column.whole for column in found.columns]


def cells(found, **named):
    """The lines whose cells under the given headings have the given texts, as heading -> text."""
    lines = [dict(zip(heads(found), line, strict=True)) for line in found.lines]
    return [line for line in lines if named.items() <= line.items()]


@pytest.mark.parametrize("id", tables())
def test_every_printed_number_stands_in_its_table(id):
    printed = sorted(row.value for row in read(id))
    shown = [
        cell
        for line in grid(id, []).lines
        for column, cell in zip(grid(id, []).columns, line, strict=True)
        if column.number and cell != "–"
    ]
    assert sorted(shown) == printed


def test_rirns_table_has_dots_regions_methods_and_means():
    found = grid("rirn-table2", rows("rirn", 0.8))
    assert heads(found)[:4] == ["FLAIR", "T1", "T1ce", "T2"]
    assert heads(found)[4:8] == ["WT ACN", "WT SMU-Net", "WT rirn", "WT rirn †"]
    assert [column.group for column in found.columns[4:]] == ["WT"] * 4 + ["TC"] * 4 + ["ET"] * 4
    assert len(found.lines) == 16
    assert found.lines[0] == ("○", "○", "○", "●", "85.6", "85.7", "86.6", "80.0", *found.lines[0][8:])
    assert found.lines[-1][:8] == ("mean", "", "", "", "85.9", "85.9", "86.1", "80.0")
    assert found.rules == {15}


def test_ours_are_in_percent_with_the_papers_decimals():
    assert cells(grid("rirn-table1", rows("rirn", 0.80461)), FLAIR="●")[0]["WT rirn †"] == "80.5"
    assert cells(grid("gkd-table1", rows("gkd", 0.80461)), FLAIR="●")[0]["WT gkd †"] == "80.46"
    assert cells(grid("gkd-table1", rows("gkd", 0.80461)), FLAIR="●")[0]["mean gkd †"] == "70.46"


def test_a_system_of_ours_that_was_not_measured_keeps_its_gap():
    found = grid("rirn-table1", rows("gkd", 0.8))
    assert {line["WT rirn †"] for line in cells(found)} == {"–"}
    assert {line["WT gkd †"] for line in cells(found)} == {"80.0"}
    assert "WT U-HVED †" not in heads(found)


def test_a_mean_needs_all_15_subsets():
    found = grid("rirn-table1", rows("rirn", 0.8, subsets=EVERY[:-1]))
    assert cells(found, FLAIR="mean")[0]["WT rirn †"] == "–"
    assert cells(found, FLAIR="●", T1="○", T1ce="○", T2="○")[0]["WT rirn †"] == "80.0"


def test_systems_without_a_subset_of_the_table_do_not_widen_it():
    assert "WT dropout †" not in heads(grid("gkd-table1", [*rows("gkd", 0.8), *rows("dropout", 0.7, subsets=[ALL])]))


def test_pkdrs_table_has_systems_down_and_sequences_across():
    found = grid("pkdr-table1", [*rows("pkdr", 0.7), *rows("dropout", 0.6)])
    systems = [line[0] for line in found.lines]
    assert systems[:4] == ["pkdr_teacher", "pkdr_teacher †", "supervised", "supervised †"]
    assert systems[-3:] == ["pkdr", "pkdr †", "dropout †"]
    assert cells(found, System="pkdr †")[0]["T1ce WT"] == "70.00"
    assert cells(found, System="pkdr")[0]["T1ce WT"] == "76.50"


def test_an_ablations_settings_have_ours_only_by_their_own_label():
    results = [*rows("gkd", 0.8, subsets=[FLAIR]), *rows("supervised", 0.6, subsets=[FLAIR])]
    results += rows("supervised", 0.9, subsets=[ALL])
    found = grid("gkd-table3", results)
    ours = {(line["System"], line["Setting"]): line["WT ours †"] for line in cells(found)}
    assert ours == {
        ("supervised", ""): "60.00",
        ("supervised", "teacher"): "90.00",
        ("gkd", "segmentation + soft labels"): "–",
        ("gkd", "segmentation + region attention"): "–",
        ("gkd", ""): "80.00",
    }
    more = rows("gkd", 0.75, subsets=[FLAIR], run="r-soft")
    text = paper_tables.render("gkd-table3", [*results, *more], "csv", {"r-soft": "gkd, segmentation + soft labels"})
    assert ",75.00," in next(line for line in text.splitlines() if "soft labels" in line)


def test_mtcmkds_numbers_stand_beside_no_dice_by_volume():
    volume = rows("mtcmkd", 0.8, subsets=[T1CE])
    slices = rows("mtcmkd", 0.9, subsets=[T1CE], metric="legacy_slice_mean")
    assert cells(grid("mtcmkd-abstract", volume))[0]["WT ours †"] == "–"
    assert cells(grid("mtcmkd-abstract", [*volume, *slices]))[0]["WT ours †"] == "90.00"
    assert cells(grid("mtcmkd-abstract", slices))[0]["WT ours †"] == "90.00"
    assert any("hold no legacy_slice_mean" in sentence for sentence in grid("mtcmkd-abstract", volume).caption)


def test_counts_of_parameters_have_no_dice_of_ours():
    found = grid("rirn-table5", rows("rirn", 0.8))
    assert [line["parameters (millions) ours †"] for line in cells(found)] == ["–"] * 3
    assert not any("Measured by Limbeck" in sentence for sentence in found.caption)


def test_processed_predictions_are_not_shown():
    results = rows("rirn", 0.8)
    processed = [replace(row, processing="et>=9mm3", value=0.1) for row in results]
    assert grid("rirn-table1", [*results, *processed]).lines == grid("rirn-table1", results).lines
    assert "80.0" in paper_tables.render("rirn-table1", [*results, *processed], "csv")


@pytest.mark.parametrize("format", ["markdown", "latex", "html"])
def test_the_caption_says_what_differs(format):
    text = paper_tables.render("rirn-table2", rows("rirn", 0.8), format)
    for needed in (
        "other rules than the paper",
        "other cases (cohort 0123456789ab)",
        "ACN's split",
        "Erratum",
        "n = 3",
    ):
        assert needed in text.replace("&#x27;", "'")
    for needed in ("sliding window", "Empty regions", "interval by patient", "fold 0", "seed 0"):
        assert needed in text


def test_the_papers_own_rules_are_named_but_never_its_cases():
    results = [replace(row, protocol="rirn-as-published-1") for row in rows("rirn", 0.8)]
    caption = " ".join(grid("rirn-table1", results).caption)
    assert "by the paper's rules as far as they can be followed, and on other cases" in caption
    assert "other rules than the paper's" in " ".join(grid("gkd-table1", results).caption)


def test_the_widest_interval_is_of_a_number_that_is_shown():
    wide = [replace(row, value=row.value * (row.case != "a")) for row in rows("dropout", 0.8)]
    found = grid("rirn-table4", [*rows("rirn", 0.8), *wide])
    (sentence,) = [sentence for sentence in found.caption if "widest" in sentence]
    assert "rirn, T1ce" in sentence
    low, high = (float(end) for end in sentence.partition("[")[2].rstrip("].").split(","))
    assert 0 < high - low < 2.01


def test_records_carry_rules_and_cohort_of_ours():
    text = paper_tables.render("gkd-table1", rows("gkd", 0.8), "csv")
    (record, *_) = csv.DictReader(io.StringIO(text))
    assert (record["protocol †"], record["data †"]) == ("strict-1", "0123456789abcdef")
    assert record["ET gkd"] == "47.37"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("id", tables())
def test_every_table_has_every_format_with_and_without_ours(id, format):
    assert paper_tables.render(id, rows("rirn", 0.8), format)
    assert paper_tables.render(id, [], format)


def test_what_is_unknown_or_mixed_is_refused():
    with pytest.raises(UsageError, match="did you mean 'rirn-table1'"):
        paper_tables.render("rirn-tabel1", [], "csv")
    with pytest.raises(UsageError, match="did you mean 'markdown'"):
        paper_tables.render("rirn-table1", [], "markdwon")
    mixed = [*rows("rirn", 0.8), *(replace(row, protocol="gkd-as-published-1") for row in rows("gkd", 0.8))]
    with pytest.raises(UsageError, match=r"strict-1 and of gkd-as-published-1"):
        paper_tables.render("rirn-table1", mixed, "csv")


def test_ours_are_means_over_cases():
    generator = np.random.default_rng(0)
    results = [replace(row, value=float(generator.uniform())) for row in rows("rirn", 0.8, subsets=[T1CE])]
    wanted = np.mean([row.value for row in results if row.region is Region.ET])
    (line,) = cells(grid("rirn-table4", results), System="rirn", Setting="")
    assert line["ET ours †"] == f"{100 * wanted:.2f}"

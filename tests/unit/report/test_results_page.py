"""The page of results: everything that is at hand is on it, in chapters that are never compared, and nothing else."""

import re
from dataclasses import replace

import pytest
from measured import TWO, rows

from limbeck.errors import DataError
from limbeck.evaluation.table import Row
from limbeck.report.provenance import read_runs
from limbeck.report.results import write_results


def headings(path) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", path.read_text())


def results() -> list[Row]:
    return rows(TWO)


def test_rows_alone_give_maps_differences_ranking_table_papers_and_failures(tmp_path):
    path = write_results(tmp_path / "a.html", results())
    assert headings(path) == [
        "At a glance",
        "Dice by sequences and method",
        "Gain over supervised",
        "Gain over dropout",
        "Paired differences from supervised",
        "Ranking",
        "Results",
        "Beside the papers",
        "Failures, worst first",
    ]
    text = path.read_text()
    assert "dropout, gkd and supervised on 3 held-out cases, from 2 subsets" in text
    assert "gkd-table1" in text
    assert "rirn-table1" not in text
    assert "<script" not in text
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.html"]


def test_one_run_alone_has_a_page_too(tmp_path):
    path = write_results(tmp_path / "a.html", rows({("gkd", "flair"): {"a": 0.5}}))
    assert headings(path)[:2] == ["At a glance", "Dice by sequences and method"]
    assert "gkd on 1 held-out case, from 1 subset of" in path.read_text()
    assert not [heading for heading in headings(path) if "Gain" in heading or "Paired" in heading]


def test_the_highest_mean_is_over_subsets_that_all_have(tmp_path):
    both = {key: cases for key, cases in TWO.items() if key[0] != "dropout"}
    text = write_results(tmp_path / "a.html", rows(both)).read_text()
    # The mean of 0.625 and 0.875, and that of 0.5 and 0.6875.
    assert "Over the 2 subsets that all have, gkd has the highest mean, 0.750 (supervised 0.594)." in text


def test_a_map_over_different_cases_says_how_many_each_row_has(tmp_path):
    partial = {("gkd", "flair"): {"a": 0.5, "b": 0.75}, ("gkd", "t1"): {"a": 0.5}}
    text = write_results(tmp_path / "a.html", rows(partial)).read_text()
    assert "compare within a row, not between rows. n: flair 2; t1 1." in text
    whole = rows({key: {**cases, "b": 0.25} for key, cases in partial.items()})
    assert "compare within a row" not in write_results(tmp_path / "b.html", whole).read_text()


def test_protocols_stand_in_chapters_of_their_own(tmp_path):
    other = [replace(row, protocol="gkd-as-published-1", value=0.125) for row in results()]
    path = write_results(tmp_path / "a.html", [*results(), *other])
    assert [heading for heading in headings(path) if heading.startswith("Dice by")] == [
        "Dice by sequences and method, strict-1",
        "Dice by sequences and method, gkd-as-published-1",
    ]
    assert "several protocols or cohorts" in path.read_text()


def test_cohorts_stand_in_chapters_of_their_own(tmp_path):
    one, two = rows(TWO, data="1" * 64), rows(TWO, data="2" * 64)
    path = write_results(tmp_path / "a.html", [*one, *two])
    assert len([heading for heading in headings(path) if heading.startswith("Dice by")]) == 2
    assert "cohort 111111111111" in path.read_text()


def test_stars_mark_what_holm_leaves(tmp_path):
    cases = {f"case-{number:02}": 0.4 + number / 100 for number in range(12)}
    better = {case: dice + 0.1 + number / 1000 for number, (case, dice) in enumerate(cases.items())}
    path = write_results(tmp_path / "a.html", rows({("supervised", "t2"): cases, ("gkd", "t2"): better}))
    assert re.findall(r">(\+0\.\d\d\*?)<", path.read_text())[:4] == ["+0.11*", "+0.11", "+0.11", "+0.11"]
    few = dict(list(cases.items())[:4])
    path = write_results(tmp_path / "a.html", rows({("supervised", "t2"): few, ("gkd", "t2"): better}))
    assert re.findall(r">(\+0\.\d\d\*?)<", path.read_text())[0] == "+0.10"


def test_records_add_curves_and_settings(tmp_path):
    for run in ("gkd-flair", "gkd-t1ce"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "experiment.yaml").write_text("steps: 7\nwidth: 8\n")
        (tmp_path / "runs" / run / "log.csv").write_text("step,epoch,name,value\n1,0,main/seg,1.5\n")
    path = write_results(tmp_path / "a.html", results(), records=read_runs(tmp_path / "runs", results()))
    assert headings(path)[-2:] == ["Training", "Settings of the runs"]
    text = path.read_text()
    assert text.count('alt="gkd: 2 runs"') == 1
    assert "<dt>steps</dt><dd>7</dd>" in text


def test_two_runs_for_one_line_are_refused(tmp_path):
    second = [replace(row, run="other") for row in results()]
    with pytest.raises(DataError, match="expected a label for each"):
        write_results(tmp_path / "a.html", [*results(), *second])
    assert list(tmp_path.iterdir()) == []


def test_names_arrive_as_text(tmp_path):
    hostile = "<script>alert(1)</script>"
    found = rows({(hostile, "flair"): {hostile: 0.5, "b": 0.25}, ("supervised", "flair"): {hostile: 0.5, "b": 0.25}})
    assert "<script" not in write_results(tmp_path / "a.html", found, title=hostile, commands=[hostile]).read_text()

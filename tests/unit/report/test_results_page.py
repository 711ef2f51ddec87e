"""The page of results: everything that is at hand is on it, in chapters that are never compared, and nothing else."""

import re
from dataclasses import replace

import pytest
from measured import TWO, rows

from limbeck.errors import DataError
from limbeck.evaluation.table import Row
from limbeck.report.comparison import compare
from limbeck.report.provenance import read_runs
from limbeck.report.results import write_results
from limbeck.report.versus import versus

CASES = {f"case-{number:02}": 0.4 + number / 100 for number in range(12)}


def headings(path) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", path.read_text())


def sections(path) -> dict[str, str]:
    """Heading -> what stands under it."""
    return dict(re.findall("<h2>(.*?)</h2>(.*?)</section>", path.read_text(), re.DOTALL))


def columns(section: str) -> set[str]:
    return set(re.findall('<span class="upright">(.*?)</span>', section))


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
        "Tests of paired differences",
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
    assert not [heading for heading in headings(path) if "Gain" in heading or "aired" in heading]


def test_the_highest_mean_is_over_subsets_that_all_have(tmp_path):
    both = {key: cases for key, cases in TWO.items() if key[0] != "dropout"}
    text = write_results(tmp_path / "a.html", rows(both)).read_text()
    # The mean of 0.625 and 0.875, and that of 0.5 and 0.6875.
    assert "Over the 2 subsets that all have, gkd has the highest mean, 0.750 (supervised 0.594)." in text


def test_a_map_over_different_cases_says_how_many_each_row_has(tmp_path):
    partial = {("gkd", "flair"): {"a": 0.5, "b": 0.75}, ("gkd", "t1"): {"a": 0.5}}
    text = write_results(tmp_path / "a.html", rows(partial)).read_text()
    # Why they differ the rows do not say: the sequences may be missing, or a run.
    assert "Cases differ between sequences: compare within a row, not between rows. n: flair 2; t1 1." in text
    assert "where it has the sequences" not in text
    whole = rows({key: {**cases, "b": 0.25} for key, cases in partial.items()})
    assert "compare within a row" not in write_results(tmp_path / "b.html", whole).read_text()


@pytest.mark.parametrize("common", [0, 6])
def test_nothing_is_crowned_where_methods_have_different_cases(tmp_path, common):
    names = list(CASES)
    first, second = names[:6], names[6 - common :]
    unequal = {
        (method, subset): {case: CASES[case] for case in cases}
        for method, cases in (("supervised", first), ("gkd", second))
        for subset in ("flair", "t1")
    }
    part = sections(write_results(tmp_path / "a.html", rows(unequal)))["Dice by sequences and method"]
    assert "were not measured on the same cases: do not compare them." in part
    sizes = "6 or 12" if common else "6"
    assert f"n: flair {sizes}; t1 {sizes}." in part
    assert "highest mean" not in part
    assert "compare within a row" not in part


def test_what_a_step_gains_is_no_gain_of_the_method(tmp_path):
    values = {(method, "t2"): CASES for method in ("supervised", "gkd")}
    # The step adds 0.2 to both, and to gkd from 0.001 to 0.012 more.
    processed = [
        replace(
            row, processing="et>=9mm3", value=row.value + 0.2 + (int(row.case[-2:]) + 1) / 1000 * (row.method == "gkd")
        )
        for row in rows(values)
    ]
    path = write_results(tmp_path / "a.html", [*rows(values), *processed])
    found = sections(path)
    raw, after = found["Gain over supervised"], found["Gain over supervised, et"]
    assert (columns(raw), columns(after)) == ({"gkd"}, {"gkd, et"})
    (_, decided) = versus(compare([*rows(values), *processed])).differences
    assert f'title="gkd, et, t2: {decided.mean:+.3f}, n = 12">+0.01*<' in after
    assert 'title="gkd, t2: +0.000, n = 12">0.00<' in raw
    assert "0.000 · 0/12" in found["Paired differences from supervised"]
    assert "· 12/12" in found["Paired differences from supervised, et"]
    against = re.findall(r"<th scope=\"row\"[^>]*>(.*?)</th><td[^>]*>(.*?)</td>", found["Tests of paired differences"])
    assert against == [("gkd", "supervised"), ("gkd, et&gt;=9mm3", "supervised, et&gt;=9mm3")]


def test_stars_have_their_tests_on_the_page_where_there_is_no_lower_bound(tmp_path):
    better = {case: dice + 0.1 + number / 1000 for number, (case, dice) in enumerate(CASES.items())}
    found = sections(write_results(tmp_path / "a.html", rows({("dropout", "t2"): CASES, ("gkd", "t2"): better})))
    assert ">+0.11*<" in found["Gain over dropout"]
    assert "all 1 tests of paired differences" in found["Gain over dropout"]
    assert "p (Holm)" in found["Tests of paired differences"]


def test_the_slice_mean_is_called_dice_nowhere_above_its_warning(tmp_path):
    legacy = [replace(row, metric="legacy_slice_mean", protocol="mtcmkd-as-published-1") for row in results()]
    path = write_results(tmp_path / "a.html", legacy)
    found = sections(path)
    first = found["Slice mean by sequences and method"]
    words, warning = first.split('class="note"', 1)
    assert "their slice mean" in words
    assert "dice" not in re.sub("<[^>]*>", "", words).lower()
    assert "It flatters" in warning
    assert not [heading for heading in headings(path) if "Dice" in heading]
    assert "A case's slice mean minus" in found["Gain over supervised"].replace("&#x27;", "'")
    assert "its slice mean" in found["Paired differences from supervised"]
    assert "Slice mean by region and run" in found["Results"]
    # Its lowest prediction, in the last of the lists.
    assert "by their slice mean" in found["Failures, worst first"]
    assert "<b>0.250</b>" in found["Failures, worst first"].split("Single predictions")[1]


def test_cases_of_two_cohorts_that_share_their_names_are_counted_apart(tmp_path):
    values = {("gkd", "t2"): CASES}
    text = write_results(tmp_path / "a.html", [*rows(values, data="1" * 64), *rows(values, data="2" * 64)]).read_text()
    assert "gkd on 24 held-out cases" in text
    assert "<dt>cases</dt><dd>24</dd>" in text


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
    better = {case: dice + 0.1 + number / 1000 for number, (case, dice) in enumerate(CASES.items())}
    path = write_results(tmp_path / "a.html", rows({("supervised", "t2"): CASES, ("gkd", "t2"): better}))
    assert re.findall(r">(\+0\.\d\d\*?)<", path.read_text())[:4] == ["+0.11*", "+0.11", "+0.11", "+0.11"]
    few = dict(list(CASES.items())[:4])
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

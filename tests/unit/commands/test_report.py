"""`limbeck report`: the file's ending says what is wanted, and what does not go together is refused before work."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from limbeck.anatomy import Region, Subset
from limbeck.cli import main
from limbeck.commands import report
from limbeck.evaluation.table import Row, write


@pytest.fixture
def results(tmp_path):
    write(
        tmp_path / "results.csv",
        [
            Row(f"{method}-f0", method, 0, 0, case, Subset.parse("flair"), region, "dice", 0.5)
            for method in ("gkd", "supervised")
            for case in "ab"
            for region in Region
        ],
    )
    return tmp_path / "results.csv"


@pytest.mark.parametrize(
    ("name", "begins"), [("a.html", "<!doctype html>"), ("a.md", "| Run"), ("a.csv", "label,"), ("a.tex", "%")]
)
def test_the_ending_chooses_the_format(results, tmp_path, capsys, name, begins):
    assert main(["report", str(results), "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_text().startswith(begins)
    assert capsys.readouterr().out == f"{tmp_path / name}\n"


def test_a_papers_table_is_written_with_the_results_beside_it(results, tmp_path):
    assert main(["report", str(results), "--paper", "gkd-table1", "-o", str(tmp_path / "a.md")]) == 0
    text = (tmp_path / "a.md").read_text()
    assert "50" in text
    assert "gkd" in text.lower()


def test_the_page_says_how_to_make_it_again_without_naming_this_machine(results, tmp_path):
    page = tmp_path / "a.html"
    assert main(["report", str(results), "--title", "My <page>", "-o", str(page)]) == 0
    text = page.read_text()
    again = (
        "<pre>limbeck evaluate runs/gkd-f0 runs/supervised-f0 --data COHORT --protocol strict --metrics dice "
        "--subsets flair -o results.csv\n"
        "limbeck report results.csv --title &#x27;My &lt;page&gt;&#x27; -o a.html</pre>"
    )
    assert again in text
    assert str(tmp_path) not in text
    assert "<h1>My &lt;page&gt;</h1>" in text


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["-o", "a.pdf"], 2, "ends in .html or .md"),
        (["--paper", "gkd-table1", "-o", "a.html"], 2, "is a table"),
        (["--paper", "gkd-tabel1", "-o", "a.md"], 2, "did you mean 'gkd-table1'"),
        (["--runs", ".", "-o", "a.md"], 2, "ends in .html"),
        (["--masks", ".", "-o", "a.html"], 2, "give --data COHORT"),
        (["--runs", "absent", "-o", "a.html"], 3, "no such folder"),
        (["--runs", ".", "-o", "a.html"], 3, "holds none of the 2 runs"),
        (["--data", ".", "-o", "a.html"], 3, "cohort"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(results, tmp_path, monkeypatch, capsys, words, code, told):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "results.csv", *words]) == code
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.csv"]


def test_files_of_one_name_and_many_runs_are_named_apart(results, tmp_path, monkeypatch):
    (tmp_path / "a" / "x").mkdir(parents=True)
    rows = [
        Row(f"gkd-{number}", "gkd", number, 0, "c", Subset.parse("flair"), region, "dice", 0.5)
        for number in range(16)
        for region in Region
    ]
    write(tmp_path / "a" / "x" / "results.csv", rows)
    monkeypatch.chdir(tmp_path)
    assert main(["report", "a/x/results.csv", "results.csv", "-o", "page.html"]) == 0
    # 16 runs of one file and 2 of the other are too many to name.
    assert "<pre>limbeck report a/x/results.csv results.csv -o page.html</pre>" in (tmp_path / "page.html").read_text()


def test_the_same_file_twice_is_data(results, tmp_path, capsys):
    assert main(["report", str(results), str(results), "-o", str(tmp_path / "a.md")]) == 3
    assert "twice: expected each results file once" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["results.csv", "./results.csv", "other.csv"])
def test_measured_rows_are_not_written_over(results, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.csv").write_bytes(results.read_bytes())
    before = results.read_bytes()
    assert main(["report", "results.csv", "-o", name]) == 2
    assert "holds results of limbeck evaluate" in capsys.readouterr().err
    assert (tmp_path / "other.csv").read_bytes() == results.read_bytes() == before
    # What it has written itself it writes again.
    for _ in range(2):
        assert main(["report", "results.csv", "-o", "table.csv"]) == 0


@pytest.fixture
def ablation(tmp_path):
    """Two runs of one method, which differ by a setting that no row names."""
    rows = [
        Row(run, method, 0, 0, case, Subset.parse("flair"), region, "dice", value)
        for run, method, value in (("gkd-a", "gkd", 0.5), ("gkd-b", "gkd", 0.25), ("alone", "supervised", 0.125))
        for case in "ab"
        for region in Region
    ]
    write(tmp_path / "ablation.csv", rows)
    return tmp_path / "ablation.csv"


def test_runs_of_one_method_are_told_apart_by_labels(ablation, tmp_path, capsys):
    assert main(["report", str(ablation), "-o", str(tmp_path / "a.md")]) == 3
    assert "expected a label for each" in capsys.readouterr().err
    words = ["--label", "gkd-b=gkd, segmentation + region attention"]
    for ending in ("md", "html"):
        assert main(["report", str(ablation), *words, "-o", str(tmp_path / f"a.{ending}")]) == 0
        assert "gkd, segmentation + region attention" in (tmp_path / f"a.{ending}").read_text()
    assert "--label &#x27;gkd-b=gkd, segmentation + region attention&#x27;" in (tmp_path / "a.html").read_text()
    assert main(["report", str(ablation), *words, "--paper", "gkd-table3", "-o", str(tmp_path / "paper.md")]) == 0
    lines = (tmp_path / "paper.md").read_text().splitlines()
    assert any("25.0" in line for line in lines) and any("50.0" in line for line in lines)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["gkd-c=x"], "with a run of the results: alone, gkd-a, gkd-b"),
        (["gkd-a"], "expected RUN=NAME"),
        (["gkd-a=x", "gkd-a=y"], "given twice for gkd-a"),
        (["runs/gkd-a=x", "gkd-a=y"], "given twice for gkd-a"),
        (["gkd-a=x", "alone=x"], "label 'x' covers the methods gkd, supervised"),
        (["gkd-a=supervised"], "label 'supervised' covers the methods gkd, supervised"),
    ],
)
def test_a_label_is_for_runs_of_one_method_that_are_there(ablation, tmp_path, capsys, labels, told):
    words = [word for label in labels for word in ("--label", label)]
    assert main(["report", str(ablation), *words, "-o", str(tmp_path / "a.md")]) == 2
    assert told in capsys.readouterr().err


def test_the_commands_of_a_page_with_masks_make_masks(tmp_path):
    rows = [Row("gkd-a", "gkd", 0, 0, "a", Subset.parse("flair"), Region.WT, "dice", 0.5)]
    (tmp_path / "kept").mkdir()
    given = argparse.Namespace(
        results=[tmp_path / "r.csv"], runs=None, data=Path(), masks=tmp_path / "kept", cases="3", label=[],
        title="Limbeck results", out=tmp_path / "a.html",
    )  # fmt: skip
    scoring, page = report._commands(given, rows)
    assert scoring.endswith("--masks kept -o results.csv") and "--masks kept" in page
    assert f"--data {Path.cwd().name}" in page

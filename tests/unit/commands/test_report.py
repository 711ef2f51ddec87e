"""`limbeck report`: the file's ending says what is wanted, and what does not go together is refused before work."""

from __future__ import annotations

import pytest

from limbeck.anatomy import Region, Subset
from limbeck.cli import main
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

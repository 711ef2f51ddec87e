"""What was run: from rows alone, and from the runs' records; damaged records are named."""

import re
from dataclasses import replace

import pytest
import yaml
from measured import TWO, rows

from limbeck.errors import DataError
from limbeck.report.provenance import facts, listing, read_runs, settings_blocks


def record(folder, name, **settings):
    (folder / name).mkdir(parents=True)
    (folder / name / "experiment.yaml").write_text(yaml.safe_dump({"fold": 0, "data": "x", **settings}))
    return folder / name


def test_facts_count_what_the_rows_hold():
    found = facts(rows(TWO, data="0123456789abcdef"))
    assert found["cases"] == 3
    assert found["methods"] == "dropout, gkd, supervised"
    assert (found["subsets"], found["runs"], found["folds"], found["seeds"]) == (2, 5, "0", "0")
    assert (found["protocol"], found["processing"], found["cohort"]) == ("strict-1", "raw", "0123456789ab")


def test_a_name_in_two_cohorts_is_two_cases():
    assert facts([*rows(TWO, data="1" * 64), *rows(TWO, data="2" * 64)])["cases"] == 6
    # Another protocol's predictions are of the same cases.
    assert facts([*rows(TWO), *rows(TWO, protocol="gkd-as-published-1")])["cases"] == 3


def test_settings_that_differ_are_told_from_those_that_all_share(tmp_path):
    for method, width in (("gkd", 8), ("supervised", 16)):
        record(tmp_path, f"{method}-flair", steps=100, width=width, patch=[48, 48, 48])
    record(tmp_path, "gkd-t1ce", steps=100, width=8, patch=[48, 48, 48], temperature=10.0)
    differing, shared = "", ""
    for block in settings_blocks(read_runs(tmp_path, rows(TWO))):
        if block.startswith("<details>"):
            shared = block
        else:
            differing += block
    assert re.findall(r'<th scope="row">(\w+)</th>', differing) == ["width", "temperature"]
    assert "<td>–, 10</td>" in differing
    assert "2 settings that all runs share" in shared
    assert "48 × 48 × 48" in shared
    assert "fold" not in differing + shared


def test_runs_that_are_not_there_are_left_out_and_none_is_an_error(tmp_path):
    record(tmp_path, "gkd-flair")
    assert [run.name for run in read_runs(tmp_path, rows(TWO))] == ["gkd-flair"]
    with pytest.raises(DataError, match="holds none of the 5 runs"):
        read_runs(tmp_path / "gkd-flair", rows(TWO))


@pytest.mark.parametrize("text", ["a: [", "- 1", "\x00", "a: 1\na: 2", "a: " + "b" * 2**19])
def test_a_damaged_record_is_named(tmp_path, text):
    (record(tmp_path, "gkd-flair") / "experiment.yaml").write_text(text)
    with pytest.raises(DataError, match=r"gkd-flair/experiment\.yaml"):
        read_runs(tmp_path, rows(TWO))


def test_a_run_named_like_a_way_out_of_the_folder_is_not_followed(tmp_path):
    record(tmp_path, "outside")
    inside = tmp_path / "runs"
    record(inside, "gkd-flair")
    found = rows({("gkd", "flair"): {"a": 0.5}})
    hostile = [replace(row, run="../outside") for row in found]
    assert [run.name for run in read_runs(inside, [*found, *hostile])] == ["gkd-flair"]


def test_names_and_values_arrive_as_text(tmp_path):
    assert listing({"<i>": "<b>"}) == "<dl><div><dt>&lt;i&gt;</dt><dd>&lt;b&gt;</dd></div></dl>"
    record(tmp_path, "gkd-flair", note="<script>")
    record(tmp_path, "supervised-flair", note="<b>")
    assert "<script>" not in "".join(settings_blocks(read_runs(tmp_path, rows(TWO))))

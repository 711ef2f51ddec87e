"""The table of results: what is written is what is read, and nothing else is read."""

import dataclasses
import subprocess
import sys

import pytest

from limbeck.anatomy import Region, Subset
from limbeck.errors import DataError
from limbeck.evaluation.table import COLUMNS, SCHEMA, Row, read, write

ROW = Row("gkd-t1ce-f0-s1-ab", "gkd", 0, 1, "patient-1", Subset.parse("t1ce"), Region.ET, "dice", 0.1 + 0.2, "")
OTHERS = [
    dataclasses.replace(ROW, case='commas, "quotes"\nand lines', value=1e-300),
    dataclasses.replace(ROW, subset=Subset.parse("all"), region=Region.WT, value=1.0, note="both empty"),
    dataclasses.replace(ROW, metric="hd95_mm", value=374.0, note="prediction empty"),
    dataclasses.replace(ROW, fold=4, seed=-1, value=-0.0),
]


def test_round_trip_is_exact_and_ordered(tmp_path):
    path = tmp_path / "results.csv"
    write(path, [ROW, *OTHERS])
    first = path.read_bytes()
    assert sorted(read(path), key=lambda row: row.key) == sorted([ROW, *OTHERS], key=lambda row: row.key)
    write(path, reversed([ROW, *OTHERS]))
    assert path.read_bytes() == first


def test_rows_follow_the_canonical_order_of_subsets_and_regions(tmp_path):
    rows = [dataclasses.replace(ROW, subset=subset, region=region) for subset in Subset.every() for region in Region]
    write(tmp_path / "results.csv", rows[::-1])
    assert read(tmp_path / "results.csv") == rows


def test_a_spreadsheet_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "results.csv"
    write(path, [ROW])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(path) == [ROW]


def test_nothing_to_write_and_the_same_twice_are_refused(tmp_path):
    path = tmp_path / "results.csv"
    with pytest.raises(DataError, match="at least one row"):
        write(path, [])
    with pytest.raises(DataError, match="measured twice"):
        write(path, [ROW, dataclasses.replace(ROW, value=0.9)])
    assert not path.exists()


@pytest.mark.parametrize(
    "change",
    [{"value": float("nan")}, {"value": float("inf")}, {"note": "perhaps"}, {"case": ""}, {"run": ""}],
)
def test_no_row_holds_nonsense(change):
    with pytest.raises(DataError):
        dataclasses.replace(ROW, **change)


def line(**changes: str) -> str:
    cells = {"schema": str(SCHEMA), "run": "r", "method": "gkd", "fold": "0", "seed": "0", "case": "c"}
    cells |= {"subset": "t1ce", "region": "ET", "metric": "dice", "value": "0.5", "note": ""}
    cells |= {"processing": "raw", "protocol": "strict-1", "data": ""}
    return ",".join((cells | changes).values())


GOOD = line(case="before")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (line(value="high"), "value 'high'"),
        (line(value="nan"), "nan"),
        (line(value=""), "value ''"),
        (line(fold="0.5"), "fold '0.5'"),
        (line(seed=""), "seed ''"),
        (line(region="XX"), "region 'XX'"),
        (line(subset="t1cee"), "did you mean 't1ce'"),
        (line(schema="99"), "schema '99'"),
        (line(note="maybe"), "note is 'maybe'"),
        (line(method=""), "method is empty"),
        (line(processing=""), "processing is empty"),
        (line() + ",extra", "found 15 cells"),
        ("", "found 0 cells"),
        (GOOD, "repeats line 2"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, wrong, message):
    path = tmp_path / "results.csv"
    path.write_text("\n".join([",".join(COLUMNS), GOOD, wrong, line(case="after")]) + "\n")
    with pytest.raises(DataError, match=rf"results\.csv, line 3: .*{message}"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: found the header 'nothing'"),
        (b"run,method\n", "line 1: found the header 'run,method'"),
        ((",".join(COLUMNS) + "\n").encode(), "no results"),
        (b"\xff\xfe\x00\x01", "cannot be read"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, content, message):
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv"):
        read(tmp_path / "absent.csv")


def test_reading_results_loads_no_torch():
    code = "import sys, limbeck.evaluation.table, limbeck.evaluation.statistics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""The papers' tables as data: complete, as printed, and honest about what may be compared."""

import csv
import subprocess
import sys
import tomllib
from collections import defaultdict
from dataclasses import fields
from decimal import Decimal
from fnmatch import fnmatch
from pathlib import Path

import pytest

import limbeck
from limbeck.anatomy import Subset
from limbeck.errors import UsageError
from limbeck.evaluation.published import MEAN, PublishedRow, PublishedTable, of, read, tables
from limbeck.methods import METHODS

PACKAGE = Path(limbeck.__file__).parent
FOLDER = PACKAGE / "evaluation" / "published"

ROWS = {
    "gkd-table1": 48,
    "gkd-table2": 48,
    "gkd-table3": 20,
    "gkd-table4": 8,
    "pkdr-table1": 100,
    "pkdr-table2": 5,
    "pkdr-table3": 4,
    "rirn-table1": 336,
    "rirn-table2": 144,
    "rirn-table3": 336,
    "rirn-table4": 24,
    "rirn-table5": 6,
    "rirn-table6": 24,
    "rirn-table7": 16,
    "mtcmkd-abstract": 2,
    "mtcmkd-repository": 45,
    "mtcmkd-ensemble2018": 12,
    "mtcmkd-ensemble2019": 12,
    "mtcmkd-ensemble2020": 12,
    "choi-abstract": 3,
}
ATTENTION = "segmentation + region attention"
ENSEMBLE = "ensemble of five t1ce students"

# Printed means that are not the means of their rows: printed value less the rows' mean, in percentage points.
ERRATA = {
    ("rirn-table2", "ACN", "", MEAN, "WT"): Decimal("-0.11"),
    ("rirn-table3", "RFNet", "", MEAN, "WT"): Decimal("-0.07"),
    ("rirn-table4", "rirn", "CRR + MF + CAR", "t1ce", MEAN): Decimal("0.31"),
}


def raw(id: str) -> list[dict[str, str]]:
    with (FOLDER / f"{id}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def values(id: str) -> dict[tuple[str, ...], Decimal]:
    """(method, variant, subset, region, measure) -> value."""
    return {tuple(list(cells.values())[:-1]): Decimal(cells["value"]) for cells in raw(id)}


def unit(value: Decimal) -> Decimal:
    """One in the last printed place."""
    return Decimal(1).scaleb(int(value.as_tuple().exponent))


# --- complete and as printed ------------------------------------------------------------------------------------------


def test_every_table_of_the_five_papers_is_there_with_all_its_values():
    assert {id: len(read(id)) for id in tables()} == ROWS


@pytest.mark.parametrize(
    ("id", "method", "variant", "subset", "region", "value"),
    [
        ("gkd-table1", "gkd", "", "t1ce", "ET", "78.51"),
        ("gkd-table1", "U-HVED", "", "t1", "WT", "49.51"),
        ("gkd-table2", "ACN", "", "t2", MEAN, "65.49"),
        ("gkd-table3", "supervised", "teacher", "all", "WT", "89.63"),
        ("gkd-table3", "gkd", "segmentation + soft labels", "flair", "TC", "67.18"),
        ("gkd-table4", "gkd", f"{ATTENTION}: masks ET-TC-WT", "flair", "WT", "86.62"),
        ("pkdr-table1", "pkdr_teacher", "", "all", "TC", "79.02"),
        ("pkdr-table1", "KD-Net", "", "flair", "WT", "88.28"),
        ("pkdr-table1", "pkdr", "", "t2", "ET", "50.66"),
        ("pkdr-table2", "supervised", "boundary-aware", "all", MEAN, "82.08"),
        ("pkdr-table3", "pkdr", "without patch-level contrast", "t2", MEAN, "67.72"),
        ("rirn-table1", "D2-Net", "", "t1", "WT", "19.4"),
        ("rirn-table1", "ShaSpec", "", "flair+t1ce+t2", "TC", "85.3"),
        ("rirn-table1", "rirn", "", MEAN, "TC", "79.1"),
        ("rirn-table2", "SMU-Net", "", "t1+t1ce+t2", "ET", "76.2"),
        ("rirn-table3", "U-HeMIS", "", "flair", "ET", "9.00"),
        ("rirn-table3", "TMFormer", "", "all", "ET", "78.98"),
        ("rirn-table4", "rirn", "CRR + MF + CAR", "t1ce", MEAN, "81.11"),
        ("rirn-table6", "supervised", "", "flair", "WT", "87.86"),
        ("rirn-table7", "rirn", "minimum", "t1ce", "TC", "86.06"),
        ("mtcmkd-abstract", "mtcmkd", "", "t1ce", "WT", "87.14"),
        ("mtcmkd-repository", "supervised", "", "t1ce", "NCR", "91.87"),
        ("mtcmkd-repository", "mtcmkd", "fusion with channel gates", "t1ce", "ED", "83.59"),
        ("mtcmkd-ensemble2019", "mtcmkd", ENSEMBLE, "t2", "ET", "64.15"),
        ("choi-abstract", "choi", "", "flair+t1ce", "ET", "89.70"),
    ],
)
def test_values_keep_the_digits_that_were_printed(id, method, variant, subset, region, value):
    where = None if subset == MEAN else Subset.parse(subset)
    assert PublishedRow(method, variant, where, region, "dice_percent", value) in read(id)


def test_counts_of_parameters_and_operations_belong_to_no_subset_or_region():
    assert read("rirn-table5")[:2] == [
        PublishedRow("ACN", "", None, "", "parameters_millions", "9.62"),
        PublishedRow("ACN", "", None, "", "gmac", "381.83"),
    ]


@pytest.mark.parametrize("id", ROWS)
def test_rows_hold_known_words_in_canonical_spelling_once_each(id):
    assert len(values(id)) == ROWS[id]
    for cells in raw(id):
        assert list(cells) == [field.name for field in fields(PublishedRow)]
        dice = cells["measure"] == "dice_percent"
        assert cells["region"] in (("WT", "TC", "ET", "NCR", "ED", MEAN) if dice else ("",))
        assert dice or cells["measure"] in ("parameters_millions", "gmac")
        assert cells["subset"] in (("all", MEAN, *map(str, Subset.every()[:-1])) if dice else ("",))
        assert cells["value"].replace(".", "", 1).isdecimal()
        assert all(text.isascii() and text == text.strip() for text in cells.values())
        assert not dice or 0 <= Decimal(cells["value"]) <= 100


@pytest.mark.parametrize("id", ["rirn-table1", "rirn-table2", "rirn-table3"])
def test_a_table_of_all_subsets_has_all_15_for_each_method_and_region(id):
    found = defaultdict(list)
    for row in read(id):
        found[row.method, row.region].append(row.subset)
    wanted = {*Subset.every(), None}
    assert all(len(subsets) == 16 and set(subsets) == wanted for subsets in found.values())


# --- consistent -------------------------------------------------------------------------------------------------------


def means(id: str, over: int) -> dict[tuple[str, ...], list[Decimal]]:
    """(table, method, variant, subset, region) of each mean over that column -> the printed mean and its parts."""
    known = values(id)
    found = {}
    for key, printed in known.items():
        if key[over] == MEAN:
            parts = [v for k, v in known.items() if k[over] != MEAN and k[:over] + k[over + 1 :] == _without(key, over)]
            if parts:
                found[id, *key[:4]] = [printed, *parts]
    return found


def _without(key: tuple[str, ...], column: int) -> tuple[str, ...]:
    return key[:column] + key[column + 1 :]


def test_printed_means_are_the_means_of_their_rows_but_for_the_named_errata():
    over_subsets = {key: cells for id in ROWS for key, cells in means(id, 2).items()}
    over_regions = {key: cells for id in ROWS for key, cells in means(id, 3).items()}
    assert {len(cells) for cells in over_subsets.values()} == {1 + 15}
    assert {len(cells) for cells in over_regions.values()} == {1 + 3}
    assert len(over_subsets) == 3 * (7 + 3 + 7)
    # A mean for each three regions: GKD's four tables, PKDR's first, RIRN's fourth, sixth and seventh.
    assert len(over_regions) == 31 + 25 + 16
    wrong = {}
    for key, (printed, *parts) in (over_subsets | over_regions).items():
        # The mean of values that were rounded, rounded: up to half a unit of each.
        if abs(printed - sum(parts) / len(parts)) > unit(printed):
            wrong[key] = (printed - sum(parts) / len(parts)).quantize(Decimal("0.01"))
    assert wrong == ERRATA


@pytest.mark.parametrize(
    ("id", "printed", "right"),
    [
        ("rirn-table2", "85.9", "86.01"),
        ("rirn-table3", "86.98", "87.05"),
        ("rirn-table4", "81.11", "80.80"),
        ("gkd-table4", "2.27", "2.29"),
    ],
)
def test_errata_stay_as_printed_and_stand_in_a_note(id, printed, right):
    notes = tables()[id].notes
    assert "Erratum" in notes
    assert printed in notes
    assert right in notes


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("gkd-table1", "gkd-table2", 16),
        ("gkd-table1", "gkd-table3", 4),
        ("gkd-table1", "rirn-table1", 24),
        ("gkd-table2", "rirn-table2", 12),
        ("pkdr-table1", "pkdr-table3", 1),
        ("rirn-table1", "rirn-table2", 48),
        ("rirn-table1", "rirn-table4", 3),
        ("rirn-table1", "rirn-table6", 9),
        ("rirn-table2", "rirn-table7", 3),
        ("rirn-table4", "rirn-table7", 4),
    ],
)
def test_what_two_tables_of_a_family_print_is_the_same_after_rounding(first, second, shared):
    one, other = values(first), values(second)
    both = one.keys() & other.keys()
    assert len(both) == shared
    differ = {
        (key[2], key[3]): (str(one[key]), str(other[key]))
        for key in both
        if abs(one[key] - other[key]) > max(unit(one[key]), unit(other[key])) / 2
    }
    named = {
        ("t1+t1ce", "ET"): ("76.0", "75.9"),
        ("flair+t1+t2", "ET"): ("48.9", "48.8"),
        ("flair+t1ce+t2", "TC"): ("85.4", "85.2"),
    }
    assert differ == (named if (first, second) == ("rirn-table1", "rirn-table2") else {})
    assert second in tables()[first].comparable_with


def test_an_ablation_repeats_the_system_that_it_starts_from():
    attention = {k[3]: v for k, v in values("gkd-table3").items() if k[1] == ATTENTION}
    assert attention == {k[3]: v for k, v in values("gkd-table4").items() if k[1].endswith("WT-TC-ET")}
    teacher = ("pkdr_teacher", "", "all", MEAN, "dice_percent")
    assert values("pkdr-table2")[teacher] == values("pkdr-table1")[teacher]


# --- comparable or not ------------------------------------------------------------------------------------------------


def test_comparable_is_mutual_and_names_tables_that_exist():
    for table in tables().values():
        assert table.id not in table.comparable_with
        for other in table.comparable_with:
            assert table.id in tables()[other].comparable_with


def test_what_has_its_own_protocol_is_comparable_with_nothing_and_says_why():
    alone = {id for id, table in tables().items() if not table.comparable_with}
    assert alone == {id for id in ROWS if id.startswith(("mtcmkd", "choi"))} | {"rirn-table3", "rirn-table5"}
    assert all("Not comparable" in tables()[id].notes for id in alone - {"rirn-table5"})
    for table in of("mtcmkd"):
        assert "slice metric" in table.crop_and_metric
        assert "all-background prediction scores WT 69.7" in table.notes
    assert tables()["choi-abstract"].split == tables()["choi-abstract"].crop_and_metric == "unknown"


def test_papers_meet_only_in_the_one_family():
    across = {
        (table.id, other)
        for table in tables().values()
        for other in table.comparable_with
        if tables()[other].paper != table.paper
    }
    gkd, rirn = ("gkd-table1", "gkd-table2"), ("rirn-table1", "rirn-table2")
    assert across == {(a, b) for a in gkd for b in rirn} | {(b, a) for a in gkd for b in rirn}
    assert all("only for single sequences" in tables()[id].notes for id in (*gkd, *rirn))


# --- read -------------------------------------------------------------------------------------------------------------


def test_a_method_gives_the_tables_of_its_paper():
    assert [table.number for table in of("gkd")] == ["1", "2", "3", "4"]
    assert sum(len(of(paper)) for paper in ("gkd", "pkdr", "rirn", "mtcmkd", "choi")) == len(tables())
    assert of("dropout") == []


def test_what_limbeck_has_goes_by_its_own_name():
    named = {row.method for id in ROWS for row in read(id)}
    papers = {table.paper for table in tables().values()}
    assert papers | {"supervised", "pkdr_teacher"} == named & METHODS.keys()
    assert not {name.lower() for name in named - METHODS.keys()} & METHODS.keys()


def test_an_unknown_table_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'rirn-table2'"):
        read("rirn-tabel2")
    with pytest.raises(UsageError, match="unknown published table 'index'"):
        read("index")


def test_every_table_says_what_it_is():
    for table in tables().values():
        for field in fields(PublishedTable):
            assert getattr(table, field.name) or field.name == "comparable_with", (table.id, field.name)


def test_the_index_and_the_files_are_the_same_tables_and_all_are_packaged():
    data = [path for path in FOLDER.iterdir() if path.is_file() and path.suffix != ".py"]
    assert {path.name for path in data} == {"index.csv", *(f"{id}.csv" for id in ROWS)}
    settings = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["limbeck"]
    for path in data:
        assert any(fnmatch(path.relative_to(PACKAGE).as_posix(), pattern) for pattern in patterns), path.name


def test_reading_published_tables_loads_no_torch():
    code = "import sys, limbeck.evaluation.published as published; published.read('choi-abstract'); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

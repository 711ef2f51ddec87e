"""The bench for a GPU runs where little is installed, since such machines are lent bare."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"

# What the package needs elsewhere, and a lent machine does not have.
LACKING = ("nibabel", "jsonargparse", "monai", "SimpleITK", "pydicom", "highdicom")
CODE = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({LACKING}))
sys.argv = sys.argv[1:]
sys.path.insert(0, {str(FOLDER)!r})
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SMALL = (
    "--precision",
    "float32",
    "--patch",
    "16",
    "--widths",
    "8",
    "--steps",
    "1",
    "--rounds",
    "1",
    "--windows",
    "2,1,1",
)


@pytest.fixture(scope="module")
def rates(tmp_path_factory):
    return tmp_path_factory.mktemp("gpu") / "rates.json"


@pytest.fixture(scope="module")
def table(rates):
    words = [str(FOLDER / "gpu.py"), "--device", "cpu", "--methods", "supervised,gkd", "--rates", str(rates), *SMALL]
    done = subprocess.run([sys.executable, "-c", CODE, *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_needs_neither_readers_of_scans_nor_monai(table):
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", table, re.M)
    names = [what for what, _, _ in rows]
    for method in ("supervised", "gkd"):
        assert f"{method}, steps a second" in names
        assert f"{method}, time busy" in names
    assert "prediction, seconds a patient" in names


def test_it_says_what_it_ran_on_and_in_which_numbers(table):
    assert re.match(r"\S+, \d+ threads, torch \d", table)
    assert "width 8, 16^3, float32" in table


def test_memory_of_a_gpu_is_not_told_of_a_cpu(table):
    assert "peak memory" not in table


def test_its_rates_have_the_names_that_the_estimate_reads(table, rates):
    read = json.loads(rates.read_text(encoding="utf-8"))
    assert read.keys() < json.loads((FOLDER.parent / "docs" / "results" / "rates.json").read_text()).keys()
    assert read["step_seconds"].keys() == {"supervised", "gkd"}
    steps = float(re.search(r"\| supervised, steps a second \| (\S+)", table)[1])
    assert steps == pytest.approx(1 / read["step_seconds"]["supervised"], abs=0.01)

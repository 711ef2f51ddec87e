"""Students of a matrix whose rows are kept in the repository: what one sitting has trained, the next need not.

A matrix of many networks takes hours on two cores, and what it trained is too large to keep; its rows are not. They lie
in one file for each method and seed, named by a digest of all that was asked for: a changed setting asks for other
rows, and those of before stay what they were.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from limbeck import durable
from limbeck.anatomy import Region, Subset
from limbeck.evaluation import table
from limbeck.evaluation.statistics import mean
from limbeck.evaluation.table import RAW, Row
from limbeck.lock import held
from limbeck.methods import find

MATRIX = Path(__file__).parents[1] / "configs" / "distillation.yaml"
RECORD = Path(__file__).parents[1] / "docs" / "results" / "distillation"


@dataclass(frozen=True)
class Evidence:
    """A matrix, and where its networks and its rows lie.

    Attributes:
        matrix: what is compared, and on what.
        out: for phantoms and runs; may be lost.
        record: for the rows.
        train: whether what is not recorded is trained; otherwise it is left out.
    """

    matrix: Path
    out: Path
    record: Path
    train: bool = True

    @property
    def content(self) -> dict[str, Any]:
        """The matrix as it is written."""
        content: dict[str, Any] = yaml.safe_load(self.matrix.read_text(encoding="utf-8"))
        return content

    def rows(
        self,
        method: str,
        settings: Mapping[str, object],
        subsets: Sequence[str],
        seeds: Sequence[int],
    ) -> list[Row]:
        """Rows of a method's students, and of the teachers that they had.

        Args:
            method: name in METHODS.
            settings: that differ from the matrix's.
            subsets: instead of the matrix's; none for the matrix's.
            seeds: of training.

        Raises:
            SystemExit: training failed, and has said why.
        """
        found: list[Row] = []
        for seed in seeds:
            asked = derived(self.matrix, method, settings, subsets, seed)
            path = self.record / f"{method}-s{seed}-{digest(asked)}.csv.gz"
            if not path.is_file() and self.train:
                self._make(asked, path)
            found += read(path) if path.is_file() else []
        return found

    def _make(self, asked: Mapping[str, Any], path: Path) -> None:
        matrix = self.out / "asked" / f"{path.name.removesuffix('.csv.gz')}.yaml"
        matrix.parent.mkdir(parents=True, exist_ok=True)
        matrix.write_text(yaml.safe_dump(dict(asked), sort_keys=False), encoding="utf-8")
        words = [sys.executable, "-m", "limbeck", "benchmark", str(matrix), "--out", str(self.out)]
        # Whatever is asked for writes the same file of results, and the record is for good.
        with held(self.out / "asked.lock", wait=True):
            # What it says is no part of the tables.
            done = subprocess.run(words, stdout=sys.stderr, check=False)
            if done.returncode:
                raise SystemExit(done.returncode)
            results = (self.out / "results.csv").read_bytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        with durable.replacing(path) as beside:
            # Without a time, so that the same rows are the same file.
            beside.write_bytes(gzip.compress(results, mtime=0))


def asked_for(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, Evidence]:
    """What a command line asks for, with the options that all scripts of this evidence have."""
    parser.add_argument("--matrix", type=Path, default=MATRIX)
    parser.add_argument("--out", type=Path, default=Path("distillation"), help="for phantoms and runs")
    parser.add_argument("--record", type=Path, default=RECORD, help="for rows")
    parser.add_argument("--tables", action="store_true", help="of what is recorded; train nothing")
    arguments = parser.parse_args()
    if arguments.matrix.resolve() != MATRIX.resolve() and arguments.record.resolve() == RECORD.resolve():
        parser.error("another --matrix wants a --record of its own")
    return arguments, Evidence(arguments.matrix, arguments.out, arguments.record, not arguments.tables)


def derived(
    matrix: Path, method: str, settings: Mapping[str, object], subsets: Sequence[str], seed: int
) -> dict[str, Any]:
    """The matrix for one method and one seed, with other settings, or for other subsets."""
    content: dict[str, Any] = yaml.safe_load(matrix.read_text(encoding="utf-8"))
    theirs = content.get("method_settings", {})
    # Settings of methods that have no part in it would give the same rows another name.
    mine = {name: theirs[name] for name in sorted(set(find(method).needs.values())) if name in theirs}
    own = {**theirs.get(method, {}), **settings}
    recipe = (matrix.parent / content["recipe"]).resolve()
    return {
        **content,
        "recipe": str(recipe),
        "methods": [method],
        "subsets": list(subsets) or content["subsets"],
        "seeds": [seed],
        "method_settings": {**mine, **({method: own} if own else {})},
    }


def digest(asked: Mapping[str, Any]) -> str:
    """Eight digits that stand for a matrix and its recipe, wherever they lie."""
    recipe = yaml.safe_load(Path(asked["recipe"]).read_text(encoding="utf-8"))
    words = json.dumps({**asked, "recipe": recipe}, sort_keys=True)
    return hashlib.sha256(words.encode()).hexdigest()[:8]


def read(path: Path) -> list[Row]:
    """Dice in one file of the record.

    Raises:
        DataError: they are no table of results.
        OSError: the file is damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.name.removesuffix(".gz")
        plain.write_bytes(gzip.decompress(path.read_bytes()))
        return [row for row in table.read(plain) if row.metric == "dice" and row.processing == RAW]


def distinct(rows: Sequence[Row]) -> list[Row]:
    """What was measured, each once: a teacher's rows come with every method that it taught.

    A teacher that was trained again on another processor has its first rows here.
    """
    return list({row.key: row for row in reversed(rows)}.values())[::-1]


def of_one_cohort(rows: Sequence[Row]) -> None:
    """Refuse rows of patients that have the same names and other images.

    Raises:
        SystemExit: they are.
    """
    if len(found := sorted({row.data for row in rows})) > 1:
        raise SystemExit(f"the rows are of cohorts {', '.join(data[:8] for data in found)}: expected one")


def write_runs(record: Path) -> None:
    """A line for each network, subset and file of the record: the run with its hash, and its mean Dice by region."""
    lines = ["file,run,subset,cases," + ",".join(region.name for region in Region)]
    for path in sorted(record.glob("*.csv.gz")):
        found: dict[tuple[str, Subset], dict[Region, list[float]]] = {}
        for row in read(path):
            regions = found.setdefault((row.run, row.subset), {region: [] for region in Region})
            regions[row.region].append(row.value)
        for (run, subset), regions in found.items():
            values = ",".join(f"{mean(regions[region]):.4f}" for region in Region)
            lines.append(f"{path.name},{run},{subset},{len(regions[Region.WT])},{values}")
    durable.write_text(record / "runs.csv", "\n".join(lines) + "\n")

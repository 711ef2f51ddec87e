"""Students of a matrix whose rows are kept in the repository: what one sitting has trained, the next need not.

A matrix of many networks takes hours on two cores, and what it trained is too large to keep; its rows are not. They lie
in one file for each method and seed, named by a digest of all that was asked for: a changed setting asks for other
rows, and those of before stay what they were.
"""

from __future__ import annotations

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
from limbeck.evaluation import table
from limbeck.evaluation.table import Row
from limbeck.methods import find


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
        settings: Mapping[str, object] | None = None,
        subsets: Sequence[str] = (),
        seeds: Sequence[int] = (),
    ) -> list[Row]:
        """Rows of a method's students, and of the teachers that they had.

        Args:
            method: name in METHODS.
            settings: that differ from the matrix's.
            subsets: instead of the matrix's.
            seeds: instead of the matrix's.

        Raises:
            SystemExit: training failed, and has said why.
        """
        found: list[Row] = []
        for seed in seeds or self.content["seeds"]:
            asked = derived(self.matrix, method, settings or {}, subsets, seed)
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
        done = subprocess.run(words, check=False)
        if done.returncode:
            raise SystemExit(done.returncode)
        path.parent.mkdir(parents=True, exist_ok=True)
        with durable.replacing(path) as beside:
            # Without a time, so that the same rows are the same file.
            beside.write_bytes(gzip.compress((self.out / "results.csv").read_bytes(), mtime=0))


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
    """The rows of one file of the record.

    Raises:
        DataError: they are no table of results.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.name.removesuffix(".gz")
        plain.write_bytes(gzip.decompress(path.read_bytes()))
        return table.read(plain)


def distinct(rows: Sequence[Row]) -> list[Row]:
    """Each row once: a teacher's rows come with every method that it taught."""
    return list(dict.fromkeys(rows))

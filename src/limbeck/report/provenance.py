"""What was run: facts from the rows, and settings from the runs' own records where they are at hand."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import DataError
from limbeck.evaluation.table import Row
from limbeck.received import read_yaml

_RECORD, _LOG = "experiment.yaml", "log.csv"
# What every row says already, and hashes that mean nothing to a reader.
_TOLD_ELSEWHERE = ("method", "subset", "fold", "seed", "data", "split", "augmentation", "teachers")


@dataclass(frozen=True)
class RunRecord:
    """A run's own record.

    Attributes:
        name: the run's name.
        method: the method's name.
        settings: every setting by name.
        log: its training log, if it has one.
    """

    name: str
    method: str
    settings: Mapping[str, Any]
    log: Path | None


def read_runs(folder: Path, rows: Iterable[Row]) -> list[RunRecord]:
    """The records of the runs that the rows name, as far as they lie in the folder.

    Raises:
        DataError: the folder holds none of them, or a record is damaged.
    """
    methods = {row.run: row.method for row in rows}
    # A name from a table is a name, not a way out of the folder.
    there = [name for name in sorted(methods) if Path(name).name == name and (folder / name / _RECORD).is_file()]
    if not there:
        raise DataError(
            f"{folder} holds none of the {len(methods)} runs (such as {min(methods)}): expected their folders"
        )
    return [_record(folder / name, methods[name]) for name in there]


def facts(rows: Sequence[Row]) -> dict[str, object]:
    """What the rows alone tell, by name."""
    cohorts = sorted({row.data[:12] for row in rows if row.data})
    return {
        "cases": count_cases(rows),
        "methods": _listed(sorted({row.method for row in rows})),
        "subsets": len({row.subset for row in rows}),
        "runs": len({row.run for row in rows}),
        "folds": _listed(sorted({row.fold for row in rows})),
        "seeds": _listed(sorted({row.seed for row in rows})),
        "protocol": _listed(sorted({row.protocol for row in rows})),
        "processing": _listed(sorted({row.processing for row in rows})),
        "cohort": _listed(cohorts) or "not recorded",
        "values": len(rows),
    }


def count_cases(rows: Iterable[Row]) -> int:
    """How many cases there are; a name that two cohorts share is two cases."""
    return len({(row.data, row.case) for row in rows})


def settings_blocks(records: Sequence[RunRecord]) -> list[str]:
    """Settings that differ from run to run as a table by method; those that all runs share behind a fold."""
    methods = list(dict.fromkeys(record.method for record in records))
    names = list(dict.fromkeys(name for record in records for name in record.settings if name not in _TOLD_ELSEWHERE))
    shared, differing = {}, {}
    for name in names:
        by_method = {method: _values(records, method, name) for method in methods}
        if len(set(by_method.values())) == 1 and len(by_method[methods[0]]) == 1:
            shared[name] = by_method[methods[0]][0]
        else:
            differing[name] = by_method
    blocks = []
    if differing:
        blocks += ["<h3>Settings that differ</h3>", _differing(methods, differing)]
    if shared:
        blocks.append(
            f"<details><summary>{len(shared)} settings that all runs share</summary>{listing(shared)}</details>"
        )
    return blocks


def listing(entries: Mapping[str, object]) -> str:
    """Names with values as a definition list."""
    items = "".join(
        f"<div><dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd></div>"
        for name, value in entries.items()
    )
    return f"<dl>{items}</dl>"


def _record(folder: Path, method: str) -> RunRecord:
    path = folder / _RECORD
    try:
        settings = read_yaml(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a run's settings: {str(error).splitlines()[0]}") from error
    if not isinstance(settings, dict):
        raise DataError(f"{path}: found {type(settings).__name__}, expected settings by name")
    log = folder / _LOG
    return RunRecord(folder.name, method, settings, log if log.is_file() else None)


def _values(records: Sequence[RunRecord], method: str, name: str) -> tuple[str, ...]:
    """The distinct values of a setting among a method's runs; a dash where the method has no such setting."""
    found = [_text(record.settings.get(name, "–")) for record in records if record.method == method]
    return tuple(dict.fromkeys(found))


def _text(value: object) -> str:
    if isinstance(value, list):
        return " × ".join(map(_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _differing(methods: Sequence[str], differing: Mapping[str, Mapping[str, tuple[str, ...]]]) -> str:
    heads = "".join(f'<th scope="col">{html.escape(method)}</th>' for method in methods)
    lines = []
    for name, by_method in differing.items():
        cells = "".join(f"<td>{html.escape(', '.join(by_method[method]))}</td>" for method in methods)
        lines.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>')
    return (
        '<figure class="list"><div class="scroll" tabindex="0"><table>'
        f'<thead><tr><th scope="col">setting</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div></figure>"
    )


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))

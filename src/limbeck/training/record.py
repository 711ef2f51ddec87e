"""What a run folder remembers beside its checkpoints: the experiment, where things lay, and the machines it ran on."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limbeck.durable import write_json
from limbeck.errors import DataError, ModelError, UsageError
from limbeck.launch import launch
from limbeck.received import read_json, read_yaml
from limbeck.training.checkpoint import saved_card
from limbeck.version import __version__

EXPERIMENT, ENVIRONMENT, PLACES = "experiment.yaml", "environment.json", "places.json"
# What an experiment records and no setting says.
HASHES = ("data", "split", "split_file", "augmentation", "teachers")
# Where a run computes and how often it writes is no part of what it computes.
NOT_DECIDING = ("device", "compile", "workers", "save_every", "log_every")
LOG = logging.getLogger(__name__)
# What only a run of several processes records.
PROCESSES = "processes"
_ALONE = {PROCESSES: 1}
# Facts of a session that can change the last bits of what it computes.
_DECIDING = (
    "limbeck",
    "torch",
    "numpy",
    "python",
    "machine",
    "processor",
    "threads",
    "device",
    "precision",
    "compiled",
)


def read_experiment(folder: Path) -> dict[str, Any]:
    """A run's experiment as it was recorded.

    Raises:
        ModelError: the folder is no run folder, or its record is damaged.
    """
    path = folder / EXPERIMENT
    try:
        content = read_yaml(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(f"{folder} is no run folder: it has no {EXPERIMENT}: expected one of limbeck train") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({' '.join(str(error).split())}): expected a run's settings") from error
    if not is_record(content):
        raise ModelError(f"{path} is damaged: expected a run's settings, with its method and the hashes of its data")
    return dict(content)


def is_record(content: object) -> bool:
    """Whether a YAML file's content is a run's record, rather than settings that somebody wrote."""
    return isinstance(content, dict) and {"method", "subset", "data", "split", "augmentation"} <= content.keys()


def settings_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a record, as a configuration would hold them; a hash is no setting."""
    return {name: value for name, value in record.items() if name not in (*HASHES, "method", PROCESSES)}


def processes() -> dict[str, int]:
    """How many processes train, where it is more than one: as many times `batch` decide the result."""
    count = launch().processes
    return {PROCESSES: count} if count > 1 else {}


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Name -> what it was and what it is, for every entry of `now` that is another, or was not there."""
    return {
        name: f"{name} was {_short(then.get(name, 'absent'))}, is {_short(value)}"
        for name, value in now.items()
        if json.loads(json.dumps(then.get(name))) != json.loads(json.dumps(value))
    }


def refuse_changes(folder: Path, now: Mapping[str, Any]) -> None:
    """Name every difference between a run and what it is asked to go on as.

    Args:
        folder: the run's.
        now: settings and hashes by name, as `experiment.yaml` has them; those that are not there are not compared.

    Raises:
        UsageError: settings differ.
        DataError: only hashes do, those of data or split among them.
        ModelError: the teacher's or the augmentation's does; the folder is no run, or has no usable checkpoint.
    """
    record, card = read_experiment(folder), saved_card(folder, tell=False)
    # The checkpoint knows what it was trained with, even if somebody has edited the record.
    found = differences(_ALONE | (record if card is None else card.origin), _ALONE | _deciding(now))
    if not found:
        return
    text = f"{folder} cannot go on: {'; '.join(found.values())}: expected what it began with, or a new run"
    if set(found) - set(HASHES):
        raise UsageError(text)
    raise (DataError if {"data", "split", "split_file"} & set(found) else ModelError)(text)


def nearest_record(runs: Sequence[Path], now: Mapping[str, Any]) -> str:
    """How the run that is most like what is asked for differs from it."""
    found = [differences(_ALONE | read_experiment(folder), _ALONE | _deciding(now)) for folder in runs]
    return "; ".join(min(found, key=len).values()) if found else "expected a run that the same command has begun"


def _deciding(now: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in now.items() if name not in NOT_DECIDING}


def write_places(folder: Path, places: Mapping[str, Path]) -> None:
    """Remember where data and teachers lay: hints for this machine, and no part of the experiment."""
    hints = {
        name: [str(path.absolute()), os.path.relpath(path.absolute(), folder.absolute())]
        for name, path in places.items()
    }
    write_json(folder / PLACES, hints)


def place_of(folder: Path, name: str) -> Path | None:
    """Where something lay when the run was last trained, if it still lies there or moved along with the run."""
    try:
        whole, relative = read_json(folder / PLACES)[name]
        return next((path for path in (Path(whole), folder / relative) if path.exists()), None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def begin_session(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add a session to the run's history, and tell what has changed since the last one and can change bits."""
    path = folder / ENVIRONMENT
    try:
        content = read_json(path)
        # Earlier versions kept the last session alone.
        sessions = list(content["sessions"]) if "sessions" in content else [content]
    except (OSError, ValueError, TypeError):
        sessions = []
    last = sessions[-1] if sessions and isinstance(sessions[-1], dict) else {}
    write_json(path, {"sessions": [*sessions, dict(facts)]})
    known = {name: facts[name] for name in _DECIDING if name in facts and name in last}
    if changed := differences(last, known):
        LOG.warning(
            "%s: %s since its last session: the last bits may differ from a run that was never stopped",
            folder,
            ", ".join(changed.values()),
        )


def use_of(folder: Path) -> str:
    """Which cases the run uses, in words; nothing where it can use all, or where that is not recorded."""
    try:
        return str(read_json(folder / ENVIRONMENT)["sessions"][-1]["use"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return ""


def machine_facts(device: torch.device, bf16: bool) -> dict[str, Any]:
    """What a session computes with."""
    return {
        "limbeck": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": "bf16" if bf16 else "float32",
    }


def _short(value: object) -> str:
    """A value as one would type it; of a hash its start."""
    if isinstance(value, str) and len(value) == 64:
        return value[:8]
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(part)}" for name, part in value.items()) or "none"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

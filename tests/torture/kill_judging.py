"""What lies in a folder after a kill: is every file under a final name whole, and is the end the undisturbed one."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml
from PIL import Image
from safetensors.torch import load_file

from limbeck.benchmark.state import verified
from limbeck.data.cohort import Cohort
from limbeck.durable import sha256
from limbeck.errors import LimbeckError
from limbeck.inference.pack import read_pack
from limbeck.methods.saved import Card

# Names that are not final: what a writer had in hand. They begin with a dot, as no file of a user does.
UNFINISHED = re.compile(r"\.[0-9a-f]{12}\.(tmp|old)\..+|\.staging|\.partial\..+|\.part\..+|\..+\.part")


def finals(folder: Path) -> list[Path]:
    """All files under final names, wherever they lie."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not _unfinished(path.relative_to(folder)))


def leftovers(folder: Path) -> set[str]:
    """All files that a killed writer left, which no one takes for a result."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in files if _unfinished(path)}


def _unfinished(path: Path) -> bool:
    return any(UNFINISHED.fullmatch(part) for part in path.parts)


# --- whole ------------------------------------------------------------------------------------------------------------


def problems(folder: Path, masks_have_json: str = "") -> list[str]:
    """A line for every file under a final name that is not whole.

    Args:
        folder: where the command worked.
        masks_have_json: pattern of masks that may not stand without their JSON and all that it names.
    """
    found = []
    for path in finals(folder):
        name = str(path.relative_to(folder))
        try:
            _check(path)
            if masks_have_json and fnmatch(name, masks_have_json):
                _committed(path)
        except (OSError, ValueError, KeyError, TypeError, EOFError, SyntaxError, RuntimeError, LimbeckError) as error:
            found.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        except Exception as error:
            # zlib, YAML, safetensors and image readers have kinds of their own.
            found.append(f"{name}: {error!r:.300}")
    return found


def _check(path: Path) -> None:
    ending = next((ending for ending in _READERS if path.name.endswith(ending)), "")
    if ending:
        _READERS[ending](path)
    elif path.name == "DONE":
        _json(path)
        verified(path.parent)
    elif path.suffix != ".lock":
        raise ValueError("a kind of file that this harness does not know")


def _json(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    if path.name == "cohort.json":
        Cohort.open(path.parent).verify()
    elif path.name == "model.json":
        read_pack(path.parent)
    elif path.name in ("checkpoint.json", "previous.json"):
        _beside(path, Card.from_json(content).files)
    elif path.name == "case.json":
        _beside(path, content["files"])
    elif "mask_sha256" in content:
        _prediction(path, content)


def _beside(path: Path, files: dict[str, str]) -> None:
    for name, digest in files.items():
        if sha256(path.parent / name) != digest:
            raise ValueError(f"{name} has another checksum")


def _prediction(path: Path, facts: dict[str, Any]) -> None:
    """A JSON without a mask was left by a kill; beside a mask it tells the truth of all that is there."""
    stem = path.name.removesuffix(".json")
    mask, probabilities = (path.with_name(f"{stem}{end}.nii.gz") for end in ("", "_probabilities"))
    if mask.is_file():
        for part, key in ((mask, "mask_sha256"), (probabilities, "probabilities_sha256")):
            if key in facts and part.is_file() and sha256(part) != facts[key]:
                raise ValueError(f"it lies beside another {part.name}")


def _committed(mask: Path) -> None:
    stem = mask.name.removesuffix(".nii.gz")
    # Which may come before its mask.
    if stem.endswith("_probabilities"):
        return
    facts = json.loads(mask.with_name(f"{stem}.json").read_text(encoding="utf-8"))
    if "probabilities_sha256" in facts and not mask.with_name(f"{stem}_probabilities.nii.gz").is_file():
        raise ValueError("it has no probabilities")


def _table(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(text), strict=True))
    if not text.endswith("\n") or len({len(row) for row in rows}) != 1:
        raise ValueError("its last line is not whole")


def _text(path: Path) -> None:
    if not path.read_text(encoding="utf-8").endswith("\n"):
        raise ValueError("its last line is not whole")


def _page(path: Path) -> None:
    if not path.read_text(encoding="utf-8").rstrip().endswith("</html>"):
        raise ValueError("it has no end")


def _picture(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def _scan(path: Path) -> None:
    # Read to the end, where gzip has its checksum.
    np.asarray(nib.load(path).dataobj)


_READERS: dict[str, Callable[[Path], Any]] = {
    ".json": _json,
    ".csv": _table,
    ".npy": np.load,
    ".nii.gz": _scan,
    ".safetensors": load_file,
    ".yaml": lambda path: yaml.safe_load(path.read_text(encoding="utf-8")),
    ".html": _page,
    ".png": _picture,
    ".md": _text,
    ".txt": _text,
    ".tsv": _text,
    ".bidsignore": _text,
}


# --- the same ---------------------------------------------------------------------------------------------------------


def content(folder: Path) -> dict[str, str]:
    """File -> a hash of what may not differ between a disturbed end and an undisturbed one: all but `MAY_DIFFER`."""
    return {str(path.relative_to(folder)): hashlib.sha256(_deciding(path)).hexdigest() for path in finals(folder)}


def differences(found: dict[str, str], right: dict[str, str]) -> list[str]:
    """A line for every file that is missing, too many, or another."""
    lines = [f"{name} is missing" for name in sorted(right.keys() - found.keys())]
    lines += [f"{name} is there, and should not be" for name in sorted(found.keys() - right.keys())]
    return lines + [f"{name} differs" for name in sorted(found.keys() & right.keys()) if found[name] != right[name]]


def _deciding(path: Path) -> bytes:
    for pattern, (_, rest) in MAY_DIFFER.items():
        if fnmatch(path.name, pattern):
            return rest(path)
    return path.read_bytes()


def _without_seconds_log(path: Path) -> bytes:
    rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    return repr([row for row in rows if row[2] != "seconds"]).encode()


def _without_seconds_card(path: Path) -> bytes:
    card = json.loads(path.read_text(encoding="utf-8"))
    card.get("progress", {}).get("log", {}).get("sums", {}).pop("seconds", None)
    return json.dumps(card).encode()


def _without_times(path: Path) -> bytes:
    record = json.loads(path.read_text(encoding="utf-8"))
    for source in record["sources"].values():
        source.pop("changed_ns")
    return json.dumps(record).encode()


def _last_session(path: Path) -> bytes:
    return json.dumps(json.loads(path.read_text(encoding="utf-8"))["sessions"][-1]).encode()


# File name -> why it may differ, and what of it may not. Everything else is the same byte for byte.
MAY_DIFFER: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "log.csv": ("rows `seconds`: how long steps took", _without_seconds_log),
    "case.json": ("`sources.*.changed_ns`: when scans were written, where they are made anew", _without_times),
    "checkpoint.json": ("`progress.log.sums.seconds`: how long steps took", _without_seconds_card),
    "previous.json": ("`progress.log.sums.seconds`: how long steps took", _without_seconds_card),
    "*.lock": ("the number of the process that holds or last held it", lambda path: b""),
    "environment.json": ("one entry of `sessions` for every start; the last is compared", _last_session),
}

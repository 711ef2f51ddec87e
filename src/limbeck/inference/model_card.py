"""The card of a pack for people: plain words, made of what `model.json` says and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# What `model.json` says of weights in half of the bytes; it says nothing of others.
HALF = "float16"

_USE = """```
limbeck predict THIS_FOLDER --t1ce scan.nii.gz -o mask.nii.gz
```

Scans must be skull-stripped and lie on one grid. The member for exactly the given sequences is used; else the
generalist, if there is one; else the member that uses most of them. Members for the same sequences are averaged. The
JSON beside a mask says what was used."""


def model_card(content: Mapping[str, Any]) -> str:
    """Markdown from what `model.json` says."""
    members: list[Mapping[str, Any]] = content["members"]
    parts = [
        f"# {content['name']}",
        "Segments gliomas (necrotic core, oedema, enhancing tumour) in MRI. **Research software, not for clinical use: "
        "no diagnosis and no treatment may rest on it.**",
    ]
    if content["note"]:
        parts.append(content["note"])
    parts += ["## What is in it", _table(members), _space(content)]
    parts += ["## Use", _use(content)]
    parts += ["## What it has learnt from", _training(members)]
    parts += ["## How good it is, and how bad", _quality(members), *_limits(content)]
    parts.append(f"Made by `limbeck pack`, limbeck {content['limbeck']}.")
    return "\n\n".join(parts) + "\n"


def _table(members: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| sequences | kind | method | fold | seed | training cases | Dice on validation cases |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    for member in members:
        serves = member["subsets"][0] if member["kind"] == "specialist" else "whatever is given"
        cells = [serves, member["kind"], member["method"]]
        cells += [_known(member[key]) for key in ("fold", "seed", "training_cases")]
        lines.append(f"| {' | '.join([*cells, _dice(member)])} |")
    return "\n".join(lines)


def _space(content: Mapping[str, Any]) -> str:
    return (
        f"Every member works on voxels of {content['spacing_mm']:g} mm; scans are brought there and masks back. "
        f"Intensities: {content['normalisation']}."
        + (" Weights are kept as 16-bit numbers." if content.get("weights") == HALF else "")
    )


def _use(content: Mapping[str, Any]) -> str:
    return _USE.replace("--t1ce scan.nii.gz", " ".join(f"--{role} {role}.nii.gz" for role in _first(content)))


def _first(content: Mapping[str, Any]) -> list[str]:
    return str(content["serves"][0]).split("+")


def _training(members: Sequence[Mapping[str, Any]]) -> str:
    cohorts = sorted({_known(member["data"]) for member in members})
    named = ", ".join(f"`{cohort[:16]}`" for cohort in cohorts)
    which = f"One cohort, hash {named}." if len(cohorts) == 1 else f"{len(cohorts)} cohorts, hashes {named}."
    return f"{which} Each member learnt from the training cases of its own fold; how many is in the table."


def _quality(members: Sequence[Mapping[str, Any]]) -> str:
    known = sorted(member["validation_dice"] for member in members if member["validation_dice"] is not None)
    words = (
        "The Dice above is a mean over validation cases and the regions WT, TC and ET. It may have chosen the "
        "checkpoint, and then flatters; it is no test result. `limbeck evaluate` on patients that no member has seen "
        "gives one."
    )
    if known:
        words += f" The worst member here has {known[0]:.3f}, the best {known[-1]:.3f}."
    return words


def _limits(content: Mapping[str, Any]) -> list[str]:
    lines = [
        "Means hide the worst patients: a mask may be empty where there is a tumour, or one drawn where there is none. "
        "Look at every mask over its scan. Scanners, ages, tumours and treatments other than those it has learnt from "
        "can make it worse without any sign of it."
    ]
    blind = [text for text in content["serves"] if "t1ce" not in text.split("+")]
    if blind:
        lines.append(
            "Without t1ce nothing shows where contrast medium enhances: from other sequences (here "
            f"{', '.join(blind)}), enhancing tumour is a guess."
        )
    return lines


def _known(value: object) -> str:
    return "unknown" if value is None else str(value)


def _dice(member: Mapping[str, Any]) -> str:
    value = member["validation_dice"]
    return "unknown" if value is None else f"{value:.3f}"

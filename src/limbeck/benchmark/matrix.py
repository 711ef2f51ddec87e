"""What a benchmark compares, as its YAML file says it; every key is known, and every name in it is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from limbeck.anatomy import Subset
from limbeck.errors import UsageError, nearest
from limbeck.evaluation.metrics import METRICS
from limbeck.evaluation.protocol import check_metrics, find
from limbeck.methods import METHODS
from limbeck.received import read_yaml

KEYS = (
    "phantoms",
    "recipe",
    "methods",
    "subsets",
    "folds",
    "seeds",
    "settings",
    "method_settings",
    "metrics",
    "protocol",
    "processed",
)
# What the matrix itself decides for each cell.
_OF_CELLS = {"fold": "folds", "seed": "seeds", "subset": "subsets"}
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Phantoms:
    """Synthetic patients to compare on where no cohort is given.

    Attributes:
        cases: how many.
        spacing: voxel size in mm.
        seed: of the cohort.
    """

    cases: int
    spacing: float = 2.0
    seed: int = 0


@dataclass(frozen=True)
class Scoring:
    """How all runs are scored.

    Attributes:
        metrics: names in `metrics.METRICS`.
        protocol: the id of the rules.
        processed: whether predictions without small enhancing tumours are scored beside the raw ones.
    """

    metrics: tuple[str, ...]
    protocol: str
    processed: bool = False


@dataclass(frozen=True)
class Matrix:
    """A benchmark as it was asked for.

    Attributes:
        path: the file.
        methods: names in METHODS.
        subsets: what specialists are trained for and generalists are scored on.
        folds: the folds to hold out, from 0.
        seeds: of weights, crops and augmentation.
        recipe: a YAML file of settings, or None for the defaults.
        settings: settings of all runs, over the recipe.
        method_settings: method -> its settings, over those.
        phantoms: None where the file names none.
        scoring: how all are scored.
    """

    path: Path
    methods: tuple[str, ...]
    subsets: tuple[Subset, ...]
    scoring: Scoring
    folds: tuple[int, ...] = (0,)
    seeds: tuple[int, ...] = (0,)
    recipe: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    method_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    phantoms: Phantoms | None = None

    def words(self, method: str) -> list[str]:
        """A method's settings as `limbeck train` takes them; fold and seed are each cell's own."""
        chosen = {**self.settings, **self.method_settings.get(method, {})}
        files = ["--config", str(self.recipe)] if self.recipe else []
        return files + [f"--{name}={_word(value)}" for name, value in chosen.items()]


def read(path: Path) -> Matrix:
    """The matrix of a file.

    Raises:
        UsageError: the file cannot be read, a key or name in it is unknown (the message gives the nearest), or a value
            is of the wrong kind.
    """
    content = _content(path)
    for key in content:
        if key not in KEYS:
            near = nearest(str(key), KEYS) or f": expected {', '.join(KEYS)}"
            raise UsageError(f"{path}: unknown key {key!r}{near}")
    try:
        return Matrix(
            path,
            _methods(content),
            _subsets(content),
            _scoring(content),
            _numbers(content, "folds"),
            _numbers(content, "seeds"),
            _recipe(content, path),
            _settings(content.get("settings", {}), "settings"),
            _method_settings(content),
            _phantoms(content),
        )
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _content(path: Path) -> dict[Any, Any]:
    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"matrix {path} cannot be read ({reason}): expected a YAML file") from error
    except ValueError as error:
        raise UsageError(f"matrix {path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"matrix {path} holds no keys: expected lines such as `methods: [supervised, gkd]`")
    return content


def _methods(content: Mapping[Any, Any]) -> tuple[str, ...]:
    known = ", ".join(METHODS)
    names = _listed(content, "methods", _text, f"a list of {known}")
    for name in names:
        if name not in METHODS:
            raise UsageError(f"unknown method {name!r}: expected one of {known}{nearest(name, METHODS)}")
    return names


def _subsets(content: Mapping[Any, Any]) -> tuple[Subset, ...]:
    if content.get("subsets", "all") == "all":
        return Subset.every()
    return _listed(content, "subsets", lambda value: Subset.parse(_text(value)), "all, or a list such as [flair, t1ce]")


def _numbers(content: Mapping[Any, Any], key: str) -> tuple[int, ...]:
    return _listed(content, key, _count, "a list of whole numbers from 0") if key in content else (0,)


def _recipe(content: Mapping[Any, Any], path: Path) -> Path | None:
    if "recipe" not in content:
        return None
    recipe = path.parent / _text(content["recipe"])
    if not recipe.is_file():
        raise UsageError(
            f"recipe {recipe} is no file: expected a YAML file of settings, named from the matrix's folder"
        )
    return recipe


def _settings(content: Any, key: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UsageError(f"{key} is {content!r}: expected settings by name, for example {{steps: 100}}")
    for name, value in content.items():
        if name in _OF_CELLS:
            raise UsageError(f"{key} names {name!r}: expected it as a list under {_OF_CELLS[name]}")
        if isinstance(value, dict) or value is None:
            raise UsageError(f"{key}: {name} is {value!r}: expected a value")
    return {str(name): value for name, value in content.items()}


def _method_settings(content: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    by_method = content.get("method_settings", {})
    if not isinstance(by_method, dict):
        raise UsageError(f"method_settings is {by_method!r}: expected settings by method, {{gkd: {{...}}}}")
    for name in by_method:
        if name not in METHODS:
            raise UsageError(f"method_settings: unknown method {name!r}{nearest(str(name), METHODS)}")
    return {name: _settings(values, f"method_settings of {name}") for name, values in by_method.items()}


def _phantoms(content: Mapping[Any, Any]) -> Phantoms | None:
    if "phantoms" not in content:
        return None
    values, known = content["phantoms"], ("cases", "spacing", "seed")
    if not isinstance(values, dict) or "cases" not in values:
        raise UsageError(f"phantoms is {values!r}: expected {{cases: 36, spacing: 2, seed: 0}}")
    for name in values:
        if name not in known:
            raise UsageError(f"phantoms: unknown key {name!r}: expected {', '.join(known)}{nearest(str(name), known)}")
    spacing = values.get("spacing", 2.0)
    if isinstance(spacing, bool) or not isinstance(spacing, (int, float)):
        raise UsageError(f"phantoms: spacing is {spacing!r}: expected a number of mm")
    return Phantoms(_count(values["cases"]), float(spacing), _count(values.get("seed", 0)))


def _scoring(content: Mapping[Any, Any]) -> Scoring:
    protocol = find(_text(content.get("protocol", "strict")))
    metrics = protocol.metrics
    if "metrics" in content:
        metrics = _listed(content, "metrics", _text, f"a list of {', '.join(METRICS)}")
    check_metrics(metrics)
    processed = content.get("processed", False)
    if not isinstance(processed, bool):
        raise UsageError(f"processed is {processed!r}: expected true or false")
    return Scoring(metrics, protocol.id, processed)


def _listed(content: Mapping[Any, Any], key: str, parse: Callable[[Any], _Item], expected: str) -> tuple[_Item, ...]:
    """A list that is not empty and names nothing twice."""
    values = content.get(key)
    if not isinstance(values, list) or not values:
        raise UsageError(f"{key} is {'missing' if values is None else repr(values)}: expected {expected}")
    parsed = tuple(parse(value) for value in values)
    twice = [value for value in parsed if parsed.count(value) > 1]
    if twice:
        raise UsageError(f"{key} names {twice[0]} twice")
    return parsed


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"found {value!r}: expected a name")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"found {value!r}: expected a whole number from 0")
    return value


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)

"""Settings as their dataclasses declare them: read from the source, which is not run, so that help needs no torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

# The settings that every method has.
NETWORK = ("methods.base", "NetworkSettings")
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


@dataclass(frozen=True)
class Setting:
    """A field of a dataclass.

    Attributes:
        name: as in Python.
        kind: its annotation; where that is a name for another (`Precision`), the other.
        choices: what a `Literal` allows.
        default: its value without a choice of the user's.
        meaning: from the class's docstring.
    """

    name: str
    kind: str
    choices: tuple[object, ...]
    default: object
    meaning: str


@cache
def tree(module: str) -> ast.Module:
    """The syntax tree of `limbeck.<module>`."""
    *folders, name = module.split(".")
    return ast.parse(files("limbeck").joinpath(*folders, f"{name}.py").read_text(encoding="utf-8"))


def classes(module: str) -> Mapping[str, ast.ClassDef]:
    """The classes of a module by name."""
    return {node.name: node for node in tree(module).body if isinstance(node, ast.ClassDef)}


def summary(module: str, name: str) -> str:
    """The first line of a class's docstring."""
    return (ast.get_docstring(classes(module)[name]) or "").splitlines()[0]


def declared(module: str, name: str) -> list[Setting]:
    """The fields that a dataclass adds to those of its base.

    Raises:
        KeyError: there is no such class, or its docstring lacks a field's meaning.
    """
    node = classes(module)[name]
    meanings = dict(_ATTRIBUTE.findall(ast.get_docstring(node) or ""))
    found = []
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name) or field.value is None:
            continue
        kind = _resolved(module, field.annotation)
        if ast.unparse(kind).startswith("ClassVar"):
            continue
        literal = ast.unparse(kind).startswith("Literal[")
        choices = [part.value for part in ast.walk(kind) if literal and isinstance(part, ast.Constant)]
        meaning = " ".join(meanings[field.target.id].split()).rstrip(".")
        default = ast.literal_eval(field.value)
        found.append(Setting(field.target.id, ast.unparse(kind), tuple(choices), default, meaning))
    return found


def written(value: object) -> str:
    """A setting's value as one would type it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _resolved(module: str, annotation: ast.expr) -> ast.expr:
    """What a name for an annotation stands for; the annotation itself if it is none."""
    if not isinstance(annotation, ast.Name):
        return annotation
    for node in tree(module).body:
        if not isinstance(node, ast.ImportFrom | ast.Assign):
            continue
        if isinstance(node, ast.Assign):
            if [ast.unparse(target) for target in node.targets] == [annotation.id]:
                return node.value
        elif annotation.id in [alias.name for alias in node.names] and str(node.module).startswith("limbeck."):
            return _resolved(str(node.module).removeprefix("limbeck."), annotation)
    return annotation

"""Settings on the command line and in YAML: one flat name space, made from the dataclasses that own them.

On the command line a name is written with hyphens or underscores, in YAML with underscores.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.commands import recipes
from limbeck.commands.method_help import PLACES
from limbeck.errors import UsageError, nearest
from limbeck.methods import find
from limbeck.received import read_yaml

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}
_SIZES = re.compile(r"-?\d+(,-?\d+)+")


class Settings:
    """Every setting of a method and of the loop: to parse and to explain."""

    def __init__(self, method: str) -> None:
        from limbeck.experiment import SECTIONS  # noqa: PLC0415 - torch

        self.method = method
        self.sections: Mapping[str, type[Any]] = {"method_settings": find(method).Settings, **SECTIONS}
        self.types = {
            item.name: typing.get_type_hints(kind)[item.name]
            for kind in self.sections.values()
            for item in dataclasses.fields(kind)
        }

    def parse(self, words: Sequence[str]) -> tuple[dict[str, str | None], dict[str, Any]]:
        """The places by name, and the settings by section.

        Raises:
            UsageError: a word is unknown, or a value of the wrong kind; the message says what would be right.
        """
        from jsonargparse import ArgumentError  # noqa: PLC0415

        files, others = _files_apart(_spelt(words))
        # Files before options, so that an option holds wherever it stands; among files, the later one wins.
        first = [f"--config={self._read(recipes.found(Path(file)))}" for file in files]
        try:
            chosen = self._parser().parse_args([*first, *others])
        except ArgumentError as error:
            raise self._explained(str(error)) from error
        parts = {section: self._section(kind, chosen) for section, kind in self.sections.items()}
        return {name: chosen[name] for name in PLACES}, parts

    def _parser(self) -> ArgumentParser:
        from jsonargparse import ArgumentParser  # noqa: PLC0415 - a tenth of a second

        parser = ArgumentParser(
            prog=f"limbeck train {self.method}", exit_on_error=False, default_env=False, allow_abbrev=False
        )
        parser.add_argument("--config", action="config")
        for name in PLACES:
            parser.add_argument(f"--{name}", type=str, default=None)
        for kind in self.sections.values():
            parser.add_class_arguments(kind, nested_key=None)
        return parser

    def _section(self, kind: type[Any], chosen: Namespace) -> Any:
        values = {item.name: chosen[item.name] for item in dataclasses.fields(kind)}
        for name, value in values.items():
            if value is None:
                raise UsageError(f"setting {name} is null: expected {_expected(self.types[name])}")
        return kind(**values)

    def _read(self, path: Path) -> str:
        """The file as the parser takes it: its name, or the settings in it if it is a run's record.

        Raises:
            UsageError: it is no flat list of this method's settings; the message has the file's name.
        """
        from limbeck.training.record import is_record, settings_of  # noqa: PLC0415 - torch

        try:
            content = read_yaml(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise UsageError(
                f"configuration {path} cannot be read ({reason}): expected a YAML file, or {', '.join(recipes.names())}"
                f"{nearest(str(path), recipes.names())}"
            ) from error
        except ValueError as error:
            raise UsageError(f"configuration {path} is no valid YAML: {error}") from error
        if not isinstance(content, dict):
            raise UsageError(f"configuration {path} holds no settings: expected lines such as `steps: 2000`")
        recorded = is_record(content)
        if recorded and content["method"] != self.method:
            raise UsageError(f"configuration {path} is a run's of {content['method']}: expected one of {self.method}")
        settings = settings_of(content) if recorded else content
        for name in settings:
            if name not in (*PLACES, *self.types):
                raise self._unknown(str(name), f" in {path}")
        return json.dumps(settings) if recorded else str(path)

    def _explained(self, text: str) -> UsageError:
        """Jsonargparse's message as one line in this package's words."""
        line = " ".join(part.strip() for part in text.splitlines())
        wrong = re.search(r'Parser key "(\w+)": .*?Got value:\s?(.*)$', line)
        if wrong and wrong[1] in self.types:
            hint = self.types[wrong[1]]
            near = nearest(wrong[2], map(str, typing.get_args(hint))) if _is_choice(hint) else ""
            return UsageError(f"setting {wrong[1]} is {wrong[2]!r}: expected {_expected(hint)}{near}")
        unknown = re.search(r"[Uu]nrecognized arguments: (\S+)", line)
        if unknown and unknown[1].startswith("--"):
            return self._unknown(unknown[1].removeprefix("--").split("=")[0])
        if unknown:
            return UsageError(f"unexpected word {unknown[1]!r}: expected --NAME VALUE")
        return UsageError(f"{line} (see limbeck train {self.method} --help)")

    def _unknown(self, name: str, where: str = "") -> UsageError:
        known = [*PLACES, "config", *self.types]
        rest = nearest(name, known) or f"; limbeck train {self.method} --help shows all"
        return UsageError(f"unknown setting {name!r} of {self.method}{where}{rest}")


def _spelt(words: Sequence[str]) -> list[str]:
    """Words as the parser wants them: underscores in names, brackets around sizes."""
    spelt: list[str] = []
    for word in words:
        if _SIZES.fullmatch(word) and spelt and spelt[-1].startswith("--"):
            # Joined, so that a leading minus is not taken for an option.
            spelt[-1] = f"{spelt[-1]}=[{word}]"
            continue
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            name = "--" + name[2:].replace("-", "_")
        spelt.append(name + equals + (f"[{value}]" if _SIZES.fullmatch(value) else value))
    return spelt


def _files_apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files of settings, and all other words."""
    files: list[str] = []
    others: list[str] = []
    for word in words:
        if word.startswith("--config="):
            files.append(word.removeprefix("--config="))
        elif others[-1:] == ["--config"]:
            files.append(word)
            others.pop()
        else:
            others.append(word)
    return files, others


def _is_choice(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Literal


def _expected(hint: Any) -> str:
    if _is_choice(hint):
        *others, last = map(str, typing.get_args(hint))
        return f"{', '.join(others)} or {last}"
    if typing.get_origin(hint) is tuple:
        return "three whole numbers, for example 64,64,64"
    return _KINDS.get(hint, "a word")

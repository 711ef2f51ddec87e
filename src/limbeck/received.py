"""Small files that anybody may have written, read with distrust: plain values out, or an error, and no code run.

What is read is a regular file of bounded size and depth. A name stands once, a number is finite, a text can be written
again, and an alias of YAML cannot make a small file a large one.
"""

from __future__ import annotations

import json
import math
import os
import reprlib
import stat
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 2**24
# The parser of YAML takes seconds for a megabyte.
_MOST_YAML_BYTES = 2**18
_MOST_YAML_VALUES = 20_000
_LONGEST_YAML_TEXT = 1000
_LONGEST_YAML_NUMBER = 40
_LONGEST_QUOTE = 200
_DEEPEST = 32
# Within these, a float is never infinite and NumPy and torch take it.
_MOST_WHOLE = 2**64
_YAML = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(_YAML + name for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge"))
_NUMBERS = (_YAML + "int", _YAML + "float")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def shortened(value: object) -> str:
    """A value of such a file as an error can show it: on one short line."""
    return _SHORT.repr(value)


def open_regular(path: Path, *, links: bool = False) -> BufferedReader:
    """Open a file to read it; nothing that is no regular file is opened or waited for.

    Args:
        path: the file.
        links: whether it may be a symbolic link.

    Raises:
        OSError: it is missing or may not be read.
        ValueError: it is a link, a folder, a pipe or a device.
    """
    found = path.stat() if links else path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise ValueError("it is a link: expected a file of the folder's own")
    # A pipe would be waited for, and a device may act when it is opened.
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags | (0 if links else getattr(os, "O_NOFOLLOW", 0)))
    stream = os.fdopen(descriptor, "rb")
    # Somebody may have put another thing in its place since it was looked at.
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        raise ValueError("it is no regular file")
    return stream


def read_bytes(path: Path, most: int = MOST_BYTES, *, links: bool = False) -> bytes:
    """The content of a regular file of at most so many bytes.

    Raises:
        OSError, ValueError: as `open_regular`; it is larger.
    """
    with open_regular(path, links=links) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most} bytes: expected at most that")
    return content


def read_json(path: Path, most: int = MOST_BYTES, *, links: bool = False) -> Any:
    """The values in a JSON file.

    Raises:
        OSError, ValueError: as `read_bytes`; it is no JSON, too deep, or holds what cannot be relied on.
    """
    return parse_json(read_bytes(path, most, links=links))


def parse_json(content: bytes) -> Any:
    """The values in JSON.

    Raises:
        ValueError: it is no JSON of finite numbers and unique names, or it is too deep.
    """
    try:
        values = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_whole,
        )
        _check_depth(values)
        # Half of a surrogate pair can be neither shown nor written.
        json.dumps(values, ensure_ascii=False).encode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise ValueError(f"it is no text in UTF-8 ({error.reason})") from error
    except RecursionError as error:
        raise ValueError(f"it is nested more than {_DEEPEST} deep") from error
    return values


def read_yaml(path: Path) -> Any:
    """The values in a YAML file: texts, numbers, booleans, lists and mappings; a link is followed.

    Raises:
        OSError, ValueError: as `read_bytes`; it is no YAML, or holds tags, dates, a name twice, or too much.
        UnicodeDecodeError: it is no text.
    """
    text = read_bytes(path, _MOST_YAML_BYTES, links=True).decode("utf-8")
    try:
        return _plain(text)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(line + _in_print(", ".join(filter(None, (error.context, error.problem))))) from error
    except yaml.YAMLError as error:
        raise ValueError(_in_print(" ".join(str(error).split()))) from error
    except RecursionError as error:
        raise ValueError(f"it is nested more than {_DEEPEST} deep") from error
    except LookupError as error:
        # What a tag promises and its value is not: `!!bool maybe`, `!!int ''`.
        raise ValueError("a value is not of the kind that its tag names") from error


def _plain(text: str) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        if _values(root, {}, ()) > _MOST_YAML_VALUES:
            raise ValueError(f"it holds more than {_MOST_YAML_VALUES} values")
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _in_print(text: str) -> str:
    """Some words of the parser, in which it may quote what it has met."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:_LONGEST_QUOTE])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{shortened(name)} stands in it twice: expected once")
        found[name] = value
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"it holds {text}: expected finite numbers")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text[:20])


def _whole(text: str) -> int:
    # Before it is converted, which takes long for many digits.
    if len(text) > len(str(_MOST_WHOLE)) or abs(int(text)) > _MOST_WHOLE:
        raise ValueError(f"it holds a whole number of {len(text)} digits: expected at most 64 bits")
    return int(text)


def _check_depth(values: Any) -> None:
    level = [values]
    for _ in range(_DEEPEST):
        level = [part for one in level for part in _parts(one)]
        if not level:
            return
    raise ValueError(f"it is nested more than {_DEEPEST} deep")


def _parts(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _values(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """How many values a node of YAML stands for, its aliases written out.

    Args:
        node: the node.
        known: the count of nodes that were seen before.
        above: the nodes that hold this one.
    """
    if id(node) in above:
        raise ValueError("it holds itself")
    if len(above) > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    if id(node) in known:
        return known[id(node)]
    _check_plain(node)
    inside: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        _check_names(node)
        inside = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inside = node.value
    known[id(node)] = 1 + sum(_values(part, known, (*above, id(node))) for part in inside)
    return known[id(node)]


def _check_plain(node: yaml.Node) -> None:
    """Refuse what is no text, number, truth, list or mapping, and what is too long for one."""
    if node.tag not in _PLAIN_TAGS:
        kind = node.tag.removeprefix(_YAML)
        raise ValueError(f"it holds a {shortened(kind)}: expected texts, numbers, lists and mappings (quote a date)")
    if isinstance(node, yaml.ScalarNode):
        most = _LONGEST_YAML_NUMBER if node.tag in _NUMBERS else _LONGEST_YAML_TEXT
        if len(node.value) > most:
            raise ValueError(f"{shortened(node.value)} has {len(node.value)} characters: expected at most {most}")


def _check_names(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for name, _ in node.value:
        if isinstance(name, yaml.ScalarNode):
            if name.value in seen:
                raise ValueError(f"{shortened(name.value)} stands in it twice: expected once")
            seen.add(name.value)

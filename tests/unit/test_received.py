"""Small files of anybody's: plain values out of regular files, or an error, soon."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.received import open_regular, parse_json, read_bytes, read_json, read_yaml, shortened

LAUGHS = "l0: &l0 [x, x]\n" + "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 20))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "a": 2}', "'a' stands in it twice"),
        ('{"a": {"b": 1, "b": 1}}', "'b' stands in it twice"),
        ("NaN", "finite"),
        ("[-Infinity]", "finite"),
        ("1e999", "finite"),
        ("9" * 21, "64 bits"),
        ("9" * 100_000, "64 bits"),
        ("[" * 33 + "]" * 33, "nested"),
        ("[" * 500 + "]" * 500, "nested"),
        ("[" * 1_000_000, "nested"),
        ('{"a":' * 100_000, "nested"),
        ('"\\ud800"', "UTF-8"),
        ("{", "Expecting"),
        ("", "Expecting"),
        ("1 2", "Extra"),
    ],
)
def test_json_that_cannot_be_relied_on_is_refused(text: str, says: str) -> None:
    begun = time.process_time()
    with pytest.raises(ValueError, match=says) as caught:
        parse_json(text.encode())
    assert len(str(caught.value)) < 300 and time.process_time() - begun < 5


def test_json_that_is_plain_is_read() -> None:
    text = '{"a": [1, -2.5, true, null, "\\ud83e\\udde0 \\u00e9"], "b": {"a": 18446744073709551615}}'
    assert parse_json(text.encode()) == {"a": [1, -2.5, True, None, "🧠 é"], "b": {"a": 2**64 - 1}}
    assert parse_json(b"[" * 32 + b"]" * 32)
    with pytest.raises(ValueError, match="UTF-8"):
        parse_json(b'"\xff"')


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: !!python/object/apply:os.mkdir [canary]", "python/object/apply:os.mkdir"),
        ("a: !!python/name:os.system", "python/name"),
        ("!!python/object/new:os.mkdir [canary]", "python/object/new"),
        ("a: !!binary eA==", "binary"),
        ("a: 2001-01-01", "quote a date"),
        ("a: 1\na: 2", "'a' stands in it twice"),
        (LAUGHS, "more than"),
        ("- 1\n" * 30_000, "more than"),
        ("a: &x [*x]", "holds itself"),
        ("[" * 100_000, "nested"),
        ("- " * 100 + "x", "nested"),
        ("a: " + "9" * 5000, "characters"),
        ("a: 1" + ":59" * 1000, "characters"),
        ("a: " + "x" * 1001, "characters"),
        ("a: " + "x" * 2**18, "bytes"),
        ("a: [1", "line 1: .*expected"),
        ("a: *b", "undefined alias"),
        ("a: 1\n---\na: 2", "expected a single document"),
        ("\x00", "special characters"),
        ("? [1]\n: 2", "unhashable"),
        ("a: b\n\xadc", "line 2"),
        ("a: !!bool maybe", "not of the kind that its tag names"),
        ("a: !!int ''", "not of the kind that its tag names"),
        ("a: !!float ''", "not of the kind that its tag names"),
    ],
)
def test_yaml_that_is_more_than_settings_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    begun = time.process_time()
    with pytest.raises(ValueError, match=says) as caught:
        read_yaml(path)
    line = str(caught.value)
    assert len(line) < 300 and line.isprintable() and time.process_time() - begun < 10
    assert not (tmp_path / "canary").exists() and not Path("canary").exists()


def test_yaml_of_settings_is_read_with_its_anchors(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("a: &a {b: 1, c: [x, 2.5, true]}\nd: {<<: *a, b: 2}\n", encoding="utf-8")
    part: dict[str, Any] = {"b": 1, "c": ["x", 2.5, True]}
    assert read_yaml(path) == {"a": part, "d": {**part, "b": 2}}
    (tmp_path / "link.yaml").symlink_to(path)
    assert read_yaml(tmp_path / "link.yaml") == read_yaml(path)
    path.write_text("")
    assert read_yaml(path) is None
    path.write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        read_yaml(path)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def link(path: Path) -> None:
    (path.parent / "other").write_text("{}")
    path.symlink_to(path.parent / "other")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_socket(path: Path) -> None:
    # The name of a socket may not be long.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


@pytest.mark.parametrize("make", [pipe, folder, link, link_to_itself, link_to_a_device, a_socket])
def test_what_is_no_file_is_neither_opened_nor_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    make(path)
    with pytest.raises(ValueError, match=r"it is (a link|no regular file)"):
        open_regular(path)


@pytest.mark.parametrize("make", [pipe, link])
def test_what_takes_the_place_of_a_file_after_a_look_is_not_read(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "card.json"
    (tmp_path / "file").write_text("{}")
    make(path)
    monkeypatch.setattr(Path, "lstat", lambda self: (tmp_path / "file").stat())
    with pytest.raises((ValueError, OSError), match=r"no regular file|symbolic"):
        open_regular(path)


def test_a_device_is_no_file_and_a_link_to_a_file_is_only_followed_on_request(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no regular file"):
        read_bytes(Path("/dev/zero"))
    link(tmp_path / "link")
    assert read_json(tmp_path / "link", links=True) == {}
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="no regular file"):
        read_json(tmp_path / "zero", links=True)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "nothing")


def test_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 10)
    assert read_bytes(path, 10) == b"x" * 10
    with pytest.raises(ValueError, match="more than 9 bytes"):
        read_bytes(path, 9)
    # A hole of a terabyte takes no room on a disk.
    os.truncate(path, 2**40)
    begun = time.monotonic()
    with pytest.raises(ValueError, match="more than"):
        read_json(path)
    assert time.monotonic() - begun < 5


def test_a_value_is_shown_on_one_short_line() -> None:
    for value in ("a\nb\x1b[31m" * 100, list(range(1000)), {"a" * 500: [["b" * 500]]}, 10**300, "\u202e"):
        assert shortened(value).isprintable() and len(shortened(value)) < 200

"""The page of methods says what the code says, and is the one that lies in docs."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.cli import main
from limbeck.commands import method_page
from limbeck.methods import METHODS, find
from limbeck.methods.base import NetworkSettings

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "methods.md"


def sections() -> dict[str, str]:
    """Heading -> what stands below it."""
    _, *pieces = re.split(r"^## (.*)$", method_page.page(), flags=re.MULTILINE)
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def settings_in(text: str) -> dict[str, tuple[str, str]]:
    return {
        name: (default, meaning)
        for name, default, meaning in re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", text, re.M)
    }


def test_the_page_in_docs_is_the_generated_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--markdown"]) == 0
    assert PAGE.read_text() == capsys.readouterr().out, "run: limbeck methods --markdown > docs/methods.md"


def test_the_page_needs_no_torch() -> None:
    probe = "import sys; from limbeck.cli import main; main(['methods', '--markdown']); print('\\n', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    imported = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "limbeck" in imported
    assert not imported & {"torch", "lightning", "numpy", "jsonargparse"}


def test_one_form_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--markdown", "--json"]) == 2
    assert "not allowed with" in capsys.readouterr().err


def test_every_method_has_its_row_and_its_section() -> None:
    head, _, _ = method_page.page().partition("\n## ")
    assert re.findall(r"^\| \[(\w+)\]\(#(\w+)\)", head, re.MULTILINE) == [(name, name) for name in METHODS]
    found = sections()
    assert list(found) == [*METHODS, "The network"]
    for name in METHODS:
        titles = re.findall(r"^\*\*(\w+)\.\*\*", found[name], re.MULTILINE)
        assert titles == ["Paper", "Idea", "Equations", "Departures", "Weights", "Settings"]


def test_every_word_of_a_docstring_is_on_the_page() -> None:
    found = sections()
    for name in METHODS:
        text = sys.modules[find(name).__module__].__doc__ or ""
        words = text.split()
        shown = [word for line in found[name].splitlines() for word in line.removeprefix("- ").split()]
        # Status and places come in after the summary, and the settings at the end.
        summary = len(text.split("\n\n")[0].split())
        start = shown.index("**Paper.**")
        assert shown[:summary] == words[:summary]
        assert shown[start : start + len(words) - summary] == words[summary:]


@pytest.mark.parametrize("name", [*METHODS, "The network"])
def test_settings_are_those_of_the_class_with_their_defaults(name: str) -> None:
    shared = dataclasses.fields(NetworkSettings)
    known = {item.name for item in shared}
    fields = shared
    if name in METHODS:
        fields = tuple(item for item in dataclasses.fields(find(name).Settings) if item.name not in known)
    shown = settings_in(sections()[name])
    assert list(shown) == [item.name for item in fields]
    for item in fields:
        default, meaning = shown[item.name]
        written = re.match(r"`([^`]+)`", default)
        assert written and meaning
        assert type(item.default)(written[1] if written[1] != "false" else "") == item.default


def test_choices_are_shown() -> None:
    assert settings_in(sections()["gkd"])["mask_resize"][0] == "`nearest` (or `maxpool`)"
    assert settings_in(sections()["The network"])["network"][0] == "`unet` (or `vnet`, `resunet`, `nnunet`)"


def test_lists_are_made_of_what_ends_in_semicolons() -> None:
    text = "This file takes:\none thing\nin two lines;\nanother: the\nlast.\nBesides.\nAnd so on."
    assert list(method_page._section("Departures", text)) == [
        "**Departures.** This file takes:",
        "- one thing in two lines;\n- another: the last.",
        "Besides. And so on.",
    ]
    assert list(method_page._section("Idea", "Some;\nmore.\nLast.")) == ["**Idea.** Some; more. Last."]


def test_no_line_begins_with_what_markdown_takes_for_a_list() -> None:
    for mark in ("-", "+", "->", "1.", "#", "=="):
        for length in range(100, 125):
            lines = method_page._wrapped(f"{'a' * length} {mark} b {'c' * 100}").splitlines()
            assert len(lines) > 1 and not [line for line in lines if line.startswith(mark)]


def test_the_page_is_readable_as_text() -> None:
    for line in method_page.page().splitlines():
        assert line.startswith("|") or len(line) <= method_page.WIDTH
        assert line == line.rstrip()


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", method_page.page())
    assert len(links) > 2 * len(METHODS)
    assert not [link for link in links if not (PAGE.parent / link).exists()]


def test_a_reconstruction_is_marked_wherever_one_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """CHOI's paper was not at hand; nobody should take the method for the paper's."""
    found = sections()
    assert [name for name in METHODS if "Status: RECONSTRUCTION" in found[name]] == ["choi"]
    (row,) = re.findall(r"^\| \[choi\].*$", method_page.page(), re.MULTILINE)
    assert "RECONSTRUCTION" in row
    assert main(["methods"]) == 0
    listed = re.split(r"\n\n", capsys.readouterr().out)
    assert [entry.split("\n")[0] for entry in listed if "RECONSTRUCTION" in entry] == ["choi"]
    for name in METHODS:
        assert main(["train", name, "--help"]) == 0
        first = capsys.readouterr().out.partition("What and where")[0]
        assert ("RECONSTRUCTION" in first) == (name == "choi")

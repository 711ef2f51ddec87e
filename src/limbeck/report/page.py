"""One HTML file that holds the whole report: it opens offline, in any browser, and loads nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from limbeck import durable
from limbeck.errors import DataError
from limbeck.report.provenance import listing
from limbeck.report.tables import Comparison, html_table


@dataclass(frozen=True)
class Picture:
    """A PNG for the page; `caption` is also what a screen reader says."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it, in this order: words, a table, fragments, pictures.

    Attributes:
        title: the heading.
        words: paragraphs of plain text.
        comparison: a table with its caption.
        pictures: PNGs; several stand side by side where there is room.
        fragments: HTML that this package made, with every text in it escaped already; it stands above the pictures.
        notes: paragraphs of plain text, small, under all of it.
    """

    title: str
    words: Sequence[str] = ()
    comparison: Comparison | None = None
    pictures: Sequence[Picture] = ()
    fragments: Sequence[str] = ()
    notes: Sequence[str] = ()


def write(
    path: Path,
    title: str,
    sections: Sequence[Section],
    *,
    introduction: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
    commands: Sequence[str] = (),
    scripts: Sequence[str] = (),
) -> Path:
    """Write a self-contained report.

    Args:
        path: the HTML file to write.
        title: its heading.
        sections: tables and pictures.
        introduction: paragraphs under the heading: what was asked and what was found.
        settings: what was run, name by name.
        commands: the commands that measure it again.
        scripts: what the page executes, this package's own or vendored; whatever else would be executed is refused.

    Returns:
        The path.

    Raises:
        DataError: a picture is missing or no PNG.
    """
    shown = list(sections)
    if settings:
        shown.append(Section("What was run", fragments=[listing(settings)]))
    if commands:
        text = html.escape("\n".join(commands))
        shown.append(Section("To measure it again", fragments=[f"<pre>{text}</pre>"]))
    parts = [f"<header><h1>{html.escape(title)}</h1>", *_paragraphs(introduction), "</header>", _contents(shown)]
    parts += [_section(number, section) for number, section in enumerate(shown)]
    body = "\n".join(parts)
    executed = "".join(f"<script>{script}</script>\n" for script in map(_inline, scripts))
    document = (
        '<!doctype html>\n<html lang="en-GB"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_style()}</style></head>\n<body><main>\n{body}\n"
        f"<footer>Made by Limbeck. For research, not for diagnosis.</footer></main>\n{executed}</body></html>\n"
    )
    durable.write_text(Path(path), document)
    return Path(path)


def _policy(scripts: Sequence[str]) -> str:
    """The browser itself refuses whatever would be fetched, and whatever would be executed but these very scripts."""
    rules = ["default-src 'none'", "img-src data: blob:", "style-src 'unsafe-inline'"]
    if scripts:
        digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
        rules.append("script-src " + " ".join(f"'sha256-{digest}'" for digest in digests))
    return "; ".join(rules)


def _inline(script: str) -> str:
    """A script as it can stand in a page.

    Raises:
        ValueError: it would end its element, or hide that end, before its own.
    """
    if re.search(r"</script|<!--", script, re.IGNORECASE):
        raise ValueError("a script holds </script or <!--, which HTML would read; expected neither")
    return script


def _contents(sections: Sequence[Section]) -> str:
    if len(sections) < 3:
        return ""
    links = "".join(
        f'<li><a href="#part-{number}">{html.escape(section.title)}</a></li>' for number, section in enumerate(sections)
    )
    return f'<nav aria-label="contents"><ul>{links}</ul></nav>'


def _section(number: int, section: Section) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>", *_paragraphs(section.words)]
    if section.comparison is not None:
        parts.append(html_table(section.comparison))
    parts += section.fragments
    if section.pictures:
        pictures = "\n".join(_picture(picture) for picture in section.pictures)
        parts.append(f'<div class="{"gallery" if len(section.pictures) > 1 else "single"}">{pictures}</div>')
    parts += [f'<p class="note">{html.escape(text)}</p>' for text in section.notes]
    return f'<section id="part-{number}">' + "\n".join(parts) + "</section>"


def _paragraphs(words: Sequence[str]) -> list[str]:
    return [f"<p>{html.escape(text)}</p>" for text in words]


def _picture(picture: Picture) -> str:
    try:
        content = Path(picture.path).read_bytes()
    except OSError as error:
        raise DataError(f"{picture.path}: cannot be read as a picture: {error}") from error
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise DataError(f"{picture.path}: is no PNG; expected a picture written by limbeck.report.figures")
    caption = html.escape(picture.caption)
    encoded = base64.b64encode(content).decode("ascii")
    image = f'<img src="data:image/png;base64,{encoded}" alt="{caption}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


@cache
def _style() -> str:
    return resources.files("limbeck.report").joinpath("page.css").read_text(encoding="utf-8")

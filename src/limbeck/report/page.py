"""One HTML file that holds the whole report: it opens offline, in any browser, and loads nothing from anywhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck import durable
from limbeck.errors import DataError
from limbeck.report.tables import Comparison, html_table


@dataclass(frozen=True)
class Picture:
    """A PNG for the page; `caption` is also what a screen reader says."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it, in this order: words, a table, pictures."""

    title: str
    words: Sequence[str] = ()
    comparison: Comparison | None = None
    pictures: Sequence[Picture] = ()


def write(
    path: Path,
    title: str,
    sections: Sequence[Section],
    *,
    introduction: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
    commands: Sequence[str] = (),
) -> Path:
    """Write a self-contained report.

    Args:
        path: the HTML file to write.
        title: its heading.
        sections: tables and pictures.
        introduction: paragraphs under the heading: what was asked and what was found.
        settings: what was run, name by name.
        commands: the commands that measure it again.

    Returns:
        The path.

    Raises:
        DataError: a picture is missing or no PNG.
    """
    parts = [f"<h1>{html.escape(title)}</h1>", *_paragraphs(introduction)]
    parts += [_section(section) for section in sections]
    if settings:
        parts.append(_settings(settings))
    if commands:
        text = html.escape("\n".join(commands))
        parts.append(f"<section><h2>To measure it again</h2><pre>{text}</pre></section>")
    body = "\n".join(parts)
    document = (
        '<!doctype html>\n<html lang="en-GB"><head><meta charset="utf-8">\n'
        # The browser itself refuses whatever would be fetched or executed.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style></head>\n<body><main>\n{body}\n"
        "<footer>Made by Limbeck. For research, not for diagnosis.</footer></main></body></html>\n"
    )
    durable.write_text(Path(path), document)
    return Path(path)


def _section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>", *_paragraphs(section.words)]
    if section.comparison is not None:
        parts.append(html_table(section.comparison))
    parts += [_picture(picture) for picture in section.pictures]
    return "<section>" + "\n".join(parts) + "</section>"


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


def _settings(settings: Mapping[str, object]) -> str:
    entries = "".join(
        f"<div><dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd></div>"
        for name, value in settings.items()
    )
    return f"<section><h2>What was run</h2><dl>{entries}</dl></section>"


_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d8dee4; --paper: #ffffff; --tint: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #9aa4ae; --line: #343b43; --paper: #14171a; --tint: #1c2126; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.25rem 3rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; }
p { max-width: 46rem; margin: .5rem 0; overflow-wrap: anywhere; }
figure { margin: 1.25rem 0; }
figcaption { color: var(--soft); font-size: .875rem; margin-top: .6rem; }
figcaption p { max-width: 60rem; margin: .25rem 0; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
.scroll { overflow-x: auto; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .7rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
th:first-child, th:nth-child(2), td:nth-child(2), th:last-child, td:last-child { text-align: left; }
tbody th { font-weight: 600; position: sticky; left: 0; background: var(--paper); }
small { color: var(--soft); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: .1rem 2rem; margin: 0; }
dl div { display: flex; justify-content: space-between; gap: 1rem; padding: .35rem 0;
  border-bottom: 1px solid var(--line); }
dt { color: var(--soft); }
dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
pre { background: var(--tint); padding: .9rem 1rem; border-radius: 6px; overflow-x: auto; font-size: .875rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: .875rem; }
@media (max-width: 40rem) {
  main { padding: 1.5rem 1rem 2rem; }
  h1 { font-size: 1.5rem; }
  th, td { padding: .45rem .5rem; }
}
"""

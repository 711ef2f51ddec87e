"""The report page: one file, nothing fetched, nothing executed, everything escaped."""

import base64
import hashlib
from html.parser import HTMLParser

import pytest

from limbeck.anatomy import Region, Subset
from limbeck.errors import DataError
from limbeck.evaluation.table import Row
from limbeck.report import tables
from limbeck.report.page import Picture, Section, write

HOSTILE = '<script>alert("x")</script> & "quoted" \'single\''
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(50))
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def page(tmp_path) -> Page:
    (tmp_path / "a.png").write_bytes(PNG)
    rows = [
        Row("r", "gkd", 0, 0, case, Subset.parse("t1ce"), region, "dice", 0.625) for case in "abc" for region in Region
    ]
    section = Section(
        "Results " + HOSTILE,
        ["Words " + HOSTILE],
        tables.compare(rows, {"r": HOSTILE}),
        [Picture(tmp_path / "a.png", "Caption " + HOSTILE)],
    )
    path = write(
        tmp_path / "report.html",
        "Title " + HOSTILE,
        [section],
        introduction=["Introduction " + HOSTILE],
        settings={"name " + HOSTILE: HOSTILE, "fold": 0},
        commands=["limbeck train " + HOSTILE],
    )
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_is_well_formed(page):
    assert page.open == []
    assert [tag for tag, _ in page.tags].count("h1") == 1


def test_all_text_arrives_as_text(page):
    assert not [tag for tag, _ in page.tags if tag == "script"]
    for opening in ("Title ", "Results ", "Words ", "Caption ", "Introduction ", "name ", "limbeck train "):
        assert opening + HOSTILE in page.text
    assert "0.625" in page.text


def test_nothing_is_fetched(page):
    for tag, attributes in page.tags:
        assert tag not in {"link", "script", "iframe", "object", "embed", "base"}
        for name in ("src", "href", "srcset", "action"):
            # A link may lead to a place in the page.
            assert attributes.get(name, "#").startswith(("data:image/png;", "#"))
        assert not [name for name in attributes if name.startswith("on")]
    policy = [attributes for _, attributes in page.tags if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0]["content"].startswith("default-src 'none'")


def test_the_picture_is_inside_and_described(page):
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == PNG
    assert image["alt"] == "Caption " + HOSTILE


def test_it_fits_narrow_screens(page):
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags


def test_the_page_is_light_whatever_the_reader_prefers(tmp_path):
    text = write(tmp_path / "report.html", "Light", []).read_text(encoding="utf-8")
    assert "color-scheme: light;" in text
    assert "prefers-color-scheme" not in text


def test_only_the_scripts_that_were_given_may_run(tmp_path):
    script = "document.title = 'ran'; // é"
    path = write(tmp_path / "report.html", "Script", [], scripts=[script])
    page = Page(path.read_text(encoding="utf-8"))
    (policy,) = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert policy.endswith(f"script-src 'sha256-{digest}'")
    assert script in page.text


@pytest.mark.parametrize("script", ["'</SCRIPT>'", "'<!-- <script>'"])
def test_a_script_that_would_leave_its_element_is_refused(tmp_path, script):
    with pytest.raises(ValueError, match="script"):
        write(tmp_path / "report.html", "Script", [], scripts=[script])
    assert list(tmp_path.iterdir()) == []


def test_long_pages_begin_with_their_contents(tmp_path):
    sections = [Section(title + HOSTILE) for title in "abc"]
    page = Page(write(tmp_path / "report.html", "Long", sections).read_text(encoding="utf-8"))
    targets = [attributes["href"].removeprefix("#") for tag, attributes in page.tags if tag == "a"]
    assert len(targets) == 3
    assert targets == [attributes["id"] for tag, attributes in page.tags if tag == "section"]


def test_a_page_without_anything_optional(tmp_path):
    path = write(tmp_path / "report.html", "Empty", [])
    text = Page(path.read_text(encoding="utf-8")).text
    assert "Empty" in text
    assert "What was run" not in text
    assert "measure it again" not in text


@pytest.mark.parametrize("content", [None, b"<svg onload=alert(1)>"])
def test_a_picture_that_is_none_is_named_and_no_page_is_left(tmp_path, content):
    if content is not None:
        (tmp_path / "b.png").write_bytes(content)
    section = Section("Results", pictures=[Picture(tmp_path / "b.png", "none")])
    with pytest.raises(DataError, match=r"b\.png"):
        write(tmp_path / "report.html", "Title", [section])
    assert not (tmp_path / "report.html").exists()

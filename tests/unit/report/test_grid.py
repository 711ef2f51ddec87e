"""One grid, four formats: nothing is lost, nothing that was data is obeyed as markup."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest

from limbeck.errors import UsageError
from limbeck.report.grid import Column, Grid, csv_text, html_table, latex, markdown, render
from limbeck.report.latex import escape

NASTY = r"""a|b & 50% $x_1$ #3 {c} ~^\ <b>"q"</b> [0] *z* `k` --- ×≥ 3 mm³"""
GRID = Grid(
    "A title & more",
    (Column("Run", number=False), Column("paper", "WT"), Column("ours †", "WT"), Column("n", "TC")),
    (("plain", "1.0", "–", "3"), (NASTY, "0.5\n[0.4, 0.6]\n3 mm", "2", "4"), ("[starts", "*", "", "x")),
    ("First sentence, 95% & <all>.", "Second_one."),
    frozenset({1}),
)


def unescaped(text):
    """LaTeX's special marks that stand without a backslash."""
    return re.sub(r"\\[\\{}&%$#_]", "", text)


def test_latex_is_balanced():
    text = latex(GRID)
    bare = unescaped(text)
    assert bare.count("{") == bare.count("}")
    depth = 0
    for mark in bare:
        depth += (mark == "{") - (mark == "}")
        assert depth >= 0
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    assert bare.count("$") % 2 == 0
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")


def test_every_latex_line_fills_the_columns():
    body = latex(GRID).partition(r"\toprule")[2].partition(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 2 + 3
    for line in lines:
        spans = [int(span) for span in re.findall(r"\\multicolumn\{(\d+)\}", line)]
        assert line.replace(r"\&", "").count("&") + 1 + sum(spans) - len(spans) == 4


def test_latex_has_a_rule_below_each_group_and_between_the_parts():
    text = latex(GRID)
    assert r"\cmidrule(lr){2-3}" in text
    assert text.count(r"\midrule") == 2
    assert r"\multicolumn{2}{c}{WT}" in text
    assert r"\begin{tabular}{lrrr}" in text


def long(count: int, text: str) -> Grid:
    columns = (Column("Run", number=False), Column("WT"))
    lines = tuple((f"run {number}", text) for number in range(count))
    return Grid("Long", columns, lines, ("Sentence.",), frozenset({1, 15}))


def test_latex_parts_what_no_page_holds_and_keeps_the_rest_whole():
    assert latex(long(15, "0.5\n[0.4, 0.6]\n3 mm")).count(r"\begin{table}") == 1
    assert latex(long(45, "0.5")).count(r"\begin{table}") == 1
    text = latex(long(150, "0.5\n[0.4, 0.6]\n3 mm"))
    first, *others = text.split(r"\begin{table}")[1:]
    assert len(others) == 9
    assert text.count(r"\end{table}") == 10
    assert [int(number) for number in re.findall(r"^run (\d+) ", text, re.MULTILINE)] == list(range(150))
    assert all(part.count(r"\shortstack") == 15 for part in (first, *others))
    # The whole caption once; every part has the heads, and all have one number.
    assert r"\caption{Long. Sentence.}" in first
    assert all(r"\caption{Continued.}" in part and r"{WT}" in part for part in others)
    assert text.count(r"\addtocounter{table}{-1}") == 9
    # A rule above a part's first line would double the one under its heads.
    assert (first.count(r"\midrule"), others[0].count(r"\midrule")) == (2, 1)
    assert text.count("usepackage{booktabs}") == 1


def test_latex_prints_every_mark_as_it_stands():
    assert escape("50% & _x_ #1 $2 {3}") == r"50\% \& \_x\_ \#1 \$2 \{3\}"
    assert escape("\\") == r"\textbackslash{}"
    assert escape("a--b---c") == "a-{}-b-{}-{}-c"
    assert escape("1–2 ≥ 3×4") == r"1--2 $\geq$ 3$\times$4"
    assert escape("two\nlines\x00\x07") == "two lines "


def test_no_latex_cell_is_taken_for_an_argument_of_the_line_before():
    assert not re.search(r"\\\\\s*[\[*]", latex(GRID))


def test_latex_stacks_a_cells_own_lines():
    assert r"\shortstack[r]{0.5\\{[}0.4, 0.6{]}\\3 mm}" in latex(GRID)


def test_markdown_lines_have_as_many_cells_as_the_heading():
    lines = [line for line in markdown(GRID).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {5}
    assert "<b>" not in markdown(GRID)
    assert "0.5<br>[0.4, 0.6]<br>3 mm" in markdown(GRID)


def test_csv_reads_back():
    records = list(csv.reader(io.StringIO(csv_text(GRID))))
    assert records[0] == ["Run", "WT paper", "WT ours †", "TC n"]
    assert records[1] == ["plain", "1.0", "", "3"]
    assert records[2] == [NASTY, "0.5 [0.4, 0.6] 3 mm", "2", "4"]


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.texts = [], [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_html_is_balanced_and_shows_every_text_as_it_stands():
    page = Tags()
    page.feed(html_table(GRID))
    assert page.open == []
    assert NASTY in page.texts
    wide = [attributes for tag, attributes in page.seen if "colspan" in attributes]
    assert sum(int(attributes["colspan"]) for attributes in wide) == 4
    assert [tag for tag, attributes in page.seen].count("tr") == 2 + 3
    assert sum(tag == "tr" and attributes.get("class") == "ruled" for tag, attributes in page.seen) == 1


@pytest.mark.parametrize("format", ["markdown", "csv", "latex", "html"])
def test_every_cell_of_a_plain_table_is_shown(format):
    plain = Grid("t", (Column("a"), Column("b")), (("12", "34"), ("56", "78")), ("Sentence.",))
    text = render(plain, format)
    assert all(number in text for number in ("12", "34", "56", "78"))
    assert ("Sentence." in text) == (format != "csv")


def test_an_unknown_format_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'latex'"):
        render(GRID, "latx")


def test_a_line_that_does_not_fill_the_columns_is_refused():
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        Grid("t", (Column("a"), Column("b")), (("1",),), ())

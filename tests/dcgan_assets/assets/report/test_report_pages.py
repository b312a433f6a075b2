"""The page and the Markdown: numbers as measured, gaps shown, nothing from outside let in."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from page_elements import Element, PageParser, composed, make_catalogue
from small_results import HOSTILE, ROWS, publish

from dcgan_assets.assets.report.compose import MADE, MISSING, PARTLY, Entry, Report
from dcgan_assets.assets.report.render import markdown_cell, number, page_html, page_markdown
from dcgan_assets.engine.results import Row
from dcgan_models.presets import preset


@pytest.fixture(scope="module")
def text(report: Report) -> str:
    return page_html(report)


@pytest.fixture(scope="module")
def page(text: str) -> Element:
    return PageParser(text).root


@pytest.fixture(scope="module")
def markdown(report: Report) -> str:
    return page_markdown(report)


def entry(report: Report, name: str) -> Entry:
    (found,) = (one for one in report.entries if one.item.id == name)
    return found


def table(part: Element, caption: str) -> list[list[str]]:
    """The cells of a table's body, by how its caption begins."""
    (found,) = (t for t in part.all("table") if t.one("caption").text.startswith(caption))
    rows = found.one("tbody").all("tr")
    return [[c.text for c in row.children if isinstance(c, Element)] for row in rows]


# --- What it says ---------------------------------------------------------------------------


def test_every_item_has_a_part_a_link_and_a_row(page: Element, report: Report) -> None:
    ids = [one.item.id for one in report.entries]
    assert [part.attributes["id"] for part in page.all("article")] == ids
    links = [link.attributes["href"] for link in page.one("nav").all("a")]
    assert [link for link in links if link in {f"#{i}" for i in ids}] == [f"#{i}" for i in ids]
    assert len(table(page, "One number or picture")) == len(ids)
    every = {e.attributes["id"] for tag in ("article", "section") for e in page.all(tag)}
    assert set(links) <= {f"#{i}" for i in every}


@pytest.mark.parametrize("key", ROWS)
def test_numbers_are_those_of_the_results(page: Element, markdown: str, key: str) -> None:
    rows = table(page, f"{key}: ")
    assert len(rows) == len(ROWS[key])
    for row, cells in zip(ROWS[key], rows, strict=True):
        name, about, paper, ours, interval, n, source = cells
        assert about == row.about
        assert name == as_read(row.name)
        assert as_number(paper) == row.paper
        assert as_number(ours.removesuffix(row.unit)) == row.value
        if row.low is not None and row.high is not None:
            low, _, high, *_ = interval.split()
            assert (float(low), float(high)) == (row.low, row.high)
        assert as_number(n) == row.n
        assert source == as_read(row.source)
        line = f"| {markdown_cell(row.name)} | {row.about} | {number(row.paper)} |"
        assert line in markdown


def as_read(words: str) -> str:
    """Text as it stands on the page: on one line, what was in backticks as code."""
    return " ".join(words.replace("`", "").split())


def as_number(cell: str) -> float | None:
    return None if cell == "–" else float(cell.replace(",", ""))  # noqa: RUF001


def test_tables_of_the_paper_have_our_numbers_beside_the_papers(page: Element) -> None:
    part = page.one("article", id="table-1")
    rows = {cells[0]: cells[1:] for cells in table(part, "Test accuracy")}
    paper, ours, paper_few, ours_few, maps = rows["DCGAN and L2-SVM"]
    assert (paper, paper_few, maps) == ("82.8", "73.8 ± 0.4", "512")
    assert ours.split()[0] == "80.25"
    assert "77.62 to 82.55" in ours
    assert "1,000" in ours
    assert ours_few.split()[0] == "73.31"
    assert rows["1-layer K-means"] == ["80.6", "–", "63.7 ± 0.7", "–", "4,800"]  # noqa: RUF001
    assert rows["control: D with random weights"][1].startswith("73.5")
    assert rows["control: pixels"][1] == "–"  # noqa: RUF001
    part = page.one("article", id="table-mnist")
    rows = {cells[0]: cells[1:] for cells in table(part, "Test error in percent")}
    assert rows["DCGAN"][0] == "2.98"
    assert rows["DCGAN"][1].startswith("9.3 ")
    assert rows["DCGAN"][2:] == ["1.48", "–"]  # noqa: RUF001
    assert rows["real digits"][1].startswith("5.9 ")
    overview = {cells[0]: cells for cells in table(page, "One number or picture")}
    (row,) = (cells for name, cells in overview.items() if name.startswith("Table 1 "))
    assert row[2:] == ["82.8", "80.25 %", "stand-in data", "made"]


def test_what_is_missing_is_shown_as_missing(page: Element, report: Report) -> None:
    assert {one.item.id: one.state for one in report.entries} == {
        **{one.item.id: MISSING for one in report.entries},
        **dict.fromkeys(("figure-2", "figure-3", "table-1", "table-mnist", "figure-9"), MADE),
    }
    part = page.one("article", id="figure-8")
    assert "Missing. faces/turn_vector is not made yet" in part.text
    assert "dcgan materialize faces/turn_vector" in part.text
    assert not part.all("img")
    assert "5 of 17 made, 12 missing" in page.one("header", **{"class": "top"}).text


def test_an_item_of_two_assets_may_be_there_in_part(tmp_path: Path) -> None:
    catalogue = make_catalogue(tmp_path)
    publish(tmp_path, "svhn/supervised_cnn", "results", rows=[Row(name="x", value=1.0)])
    assert entry(composed(catalogue), "table-svhn").state == PARTLY


def test_a_picture_that_the_section_leaves_out_is_missing(tmp_path: Path) -> None:
    catalogue = make_catalogue(tmp_path)
    publish(tmp_path, "lsun/samples", "results", pictures=("figure.png",))
    found = entry(composed(catalogue), "figure-2")
    assert found.missing == (
        "lsun/samples has no epoch_0001.png; its section in params.yaml says what is drawn.",
    )


def test_a_workspace_in_which_nothing_is_made_has_a_report(tmp_path: Path) -> None:
    report = composed(make_catalogue(tmp_path))
    page = PageParser(page_html(report)).root
    assert {one.state for one in report.entries} == {MISSING}
    assert "0 of 17 made" in page.one("header", **{"class": "top"}).text
    assert not page.all("img", decoding="async")
    assert "Missing" in page_markdown(report)


def test_what_draws_is_told_where_it_is_not_the_last_weights(tmp_path: Path) -> None:
    catalogue = make_catalogue(tmp_path)
    for averaged in (True, False):
        network = {"preset": preset("lsun64").with_overrides(averaged=averaged).to_dict()}
        publish(tmp_path, "lsun/generator", "models", network=network)
        text = PageParser(page_html(composed(catalogue))).root.text
        assert ("drawn with the average of G's weights" in text) == averaged


def test_data_and_networks_are_told(page: Element, report: Report) -> None:
    found = entry(report, "figure-3")
    assert found.stand_in is False
    part = page.one("article", id="figure-3")
    assert "the paper's data" in part.text
    assert "pictures of 64×64, 100 to train on, 10 held out" in part.text  # noqa: RUF001
    assert "G's layers 1024, 512, 256, 128 wide, 5 epochs in minibatches of 128" in part.text
    assert entry(report, "table-1").stand_in is True
    assert entry(report, "figure-8").stand_in is None


def test_provenance_is_complete(page: Element, report: Report) -> None:
    rows = {cells[0].split()[0]: cells for cells in table(page, "All assets on this page")}
    assert set(rows) == {one.key for one in report.made}
    assert len(rows) == 8
    asset, data, code, made, seconds, hardware, run = rows["lsun/generator"]
    assert asset == "lsun/generator from lsun/candidate, seed 42"
    (generator,) = (one for one in report.made if one.key == "lsun/generator")
    assert data == generator.meta.data_version[:12]
    assert (code, made) == ("0123456789ab", "5 March 2026, 06:07 UTC")
    assert (seconds, hardware, run) == ("12.3", "Abacus <9000>, 2 rods", "12345678")


def test_results_without_an_item_come_after_the_paper(page: Element) -> None:
    others = page.one("section", id="others")
    assert "mnist/sampling_statistics" in others.text
    assert len(others.all("img")) == 1


# --- How it is built ------------------------------------------------------------------------


def test_text_from_outside_stays_text(page: Element, markdown: str) -> None:
    assert len(page.all("script")) == 1
    assert {e.attributes.get("onerror") for e in page.all("img")} == {None}
    assert not page.all("b", **{"class": "hostile"})
    assert "<b>levels</b>" in page.one("section", id="others").text
    assert as_read(HOSTILE) in page.text
    assert "<script" not in markdown
    assert "<img" not in markdown
    assert "](javascript" not in markdown.replace("\\](", "")


def test_code_in_notes_is_code(page: Element) -> None:
    for notes in page.one("section", id="others").all("p", **{"class": "notes"}):
        assert notes.one("code").text == "c"
        assert "`" not in notes.text


def test_its_policy_lets_nothing_in(text: str, page: Element) -> None:
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.split(" ", 1) for rule in (policy.attributes["content"] or "").split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        content = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(content) == 1
        digest = base64.b64encode(hashlib.sha256(content[0].encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    elements = [e for tag in ("a", "img", "link", "div", "td") for e in page.all(tag)]
    for element in elements:
        assert "style" not in element.attributes, "the policy would refuse it"
        for name in ("src", "href"):
            address = element.attributes.get(name) or "#"
            assert address.startswith(("#", "data:image/webp;base64,", "https://arxiv.org/"))


def test_it_can_be_read_without_eyes(page: Element) -> None:
    pictures = [image for figure in page.all("figure") for image in figure.all("img")]
    assert len(pictures) == 6
    for image in pictures:
        assert len(image.attributes["alt"] or "") > 10
    for figure in page.all("figure"):
        assert figure.one("figcaption").text
    for one in page.all("table"):
        assert one.one("caption").text
        assert {head.attributes["scope"] for head in one.all("th")} == {"col", "row"}
    for part in (*page.all("article"), *page.one("main").all("section")):
        title = part.attributes["aria-labelledby"]
        assert part.one("h2", id=title or "").text
    assert page.one("html").attributes["lang"] == "en-GB"


def test_what_a_preview_of_it_shows(page: Element) -> None:
    said = {
        meta.attributes.get("name") or meta.attributes.get("property"): meta.attributes["content"]
        for meta in page.all("meta")
        if "content" in meta.attributes
    }
    assert said["og:title"] == page.one("title").text
    assert said["description"] == said["og:description"]
    assert str(said["description"]).startswith("5 of 17 figures and tables of the DCGAN paper")
    assert "on stand-in data" in str(said["description"])


def test_what_stands_in_backticks_is_code_wherever_it_stands(tmp_path: Path) -> None:
    catalogue = make_catalogue(tmp_path)
    row = Row(name="error of `x <b>`", value=1.0, source="`y` of the notes")
    publish(tmp_path, "svhn/supervised_cnn", "results", rows=[row])
    text = page_html(composed(catalogue))
    seen = re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL)
    assert "error of <code>x &lt;b&gt;</code>" in seen
    assert "<code>y</code> of the notes" in seen
    assert "`" not in seen


def test_every_row_of_a_table_has_its_heads_columns(page: Element, markdown: str) -> None:
    for one in page.all("table"):
        widths = {sum(isinstance(cell, Element) for cell in row.children) for row in one.all("tr")}
        assert len(widths) == 1
    for block in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        lines = block.splitlines()
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(widths) == 1, lines[0]
        assert set(lines[1]) <= set("| -")


def test_the_same_results_give_the_same_bytes(catalogue: object, text: str, markdown: str) -> None:
    again = composed(catalogue)  # type: ignore[arg-type]
    assert page_html(again) == text
    assert page_markdown(again) == markdown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),  # noqa: RUF001
        (80.25, "80.25"),
        (52.0, "52"),
        (1234567.5, "1,234,567.5"),
        (10, "10"),
        (3.776208427376e-32, "3.77621e-32"),
    ],
)
def test_numbers_keep_their_digits(value: float | None, shown: str) -> None:
    assert number(value) == shown

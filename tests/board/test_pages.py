"""The pages of a board as a reader and a crawler without scripts see them."""

import csv
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from kit import bundle_folder
from kit.html_page import Page

from htbench.board import site
from htbench.bundles import verification_record
from htbench.bundles.findings import holds, unchecked
from htbench.bundles.unpack import unpacked
from htbench.core import content
from htbench.run.store import Store
from htbench.run.summary import Summary

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


class Tables(HTMLParser):
    """The cells of all rows of a page's tables, as text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += f" {data.strip()}"

    def starting(self, word: str) -> list[list[str]]:
        """The rows whose first cell begins with a word."""
        return [
            [" ".join(cell.split()) for cell in row]
            for row in self.rows
            if row and row[0].split()[:1] == [word]
        ]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "bundles"
    bundle_folder.add(folder, "first", made="2026-02-01", size=200)
    bundle_folder.add(folder, "second", made="2026-04-01")
    bundle_folder.add(folder, "next-version", made="2026-05-01", version="2")
    bundle_folder.add(folder, "fewer", made="2026-05-02", concepts=3)
    bundle_folder.add(
        folder,
        "hostile <b> & 'x'",
        made="2026-05-03",
        model=HOSTILE,
        version=HOSTILE,
        methods=("none", "prompt", HOSTILE, "../up"),
        words=HOSTILE,
        concepts=3,
    )
    return folder


@pytest.fixture(scope="module")
def board(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    first = bundles / "first.bundle.zip"
    verification_record.write(
        first,
        [holds("all <scores> follow"), unchecked("times")],
        sha256=content.full_file_digest(first),
        seed=1,
        again=2,
    )
    built = site.build(bundles, tmp_path_factory.mktemp("board") / "site")
    assert built.problems == ()
    return built.page.parent


def pages(board: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in board.rglob("*.html")}


def test_every_link_and_picture_leads_to_a_file_and_a_place_of_the_board(board: Path) -> None:
    every = pages(board)
    places = {
        path.resolve(): {attributes.get("id") for _, attributes in page.tags}
        for path, page in every.items()
    }
    number = 0
    for path, page in every.items():
        for _, attributes in page.tags:
            for name in ("href", "src"):
                if name not in attributes:
                    continue
                address, _, place = unquote(attributes[name]).partition("#")
                target = (path.parent / address).resolve() if address else path.resolve()
                assert target.is_relative_to(board.resolve())
                assert target.is_file(), f"{path}: {attributes[name]}"
                assert not place or place in places[target], f"{path}: {attributes[name]}"
                number += 1
    assert number > 300


def test_every_page_is_linked(board: Path) -> None:
    linked = {
        (path.parent / unquote(attributes["href"]).partition("#")[0]).resolve()
        for path, page in pages(board).items()
        for _, attributes in page.tags
        if attributes.get("href")
    }
    files = {path.resolve() for path in board.rglob("*") if path.suffix in (".html", ".csv")}
    assert files - linked == set()


def test_no_page_has_a_remote_address(board: Path) -> None:
    for path, page in pages(board).items():
        for tag, attributes in page.tags:
            assert not re.search(r"//", "".join(attributes.get(name, "") for name in LOADING)), tag
        style = "".join(page.data["style"])
        assert style
        assert "url(" not in style
        assert "@import" not in style
        assert "http" not in page.text, path


LOADING = ("href", "src", "srcset", "action", "poster", "data", "style")


def test_a_page_may_load_nothing_but_its_own_pictures(board: Path) -> None:
    for page in pages(board).values():
        (policy,) = [
            attributes["content"]
            for tag, attributes in page.tags
            if attributes.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy.startswith("default-src 'none'; img-src 'self'; style-src 'sha256-")


def test_hostile_names_are_text(board: Path) -> None:
    for path, page in pages(board).items():
        counts = Counter(tag for tag, _ in page.tags)
        assert counts["b"] == 0, path
        assert counts["script"] == 1, path
        assert not [name for _, attributes in page.tags for name in attributes if name == "onerror"]
    index = (board / "index.html").read_text(encoding="utf-8")
    assert HOSTILE in Page(index).text


def test_no_name_leads_out_of_the_board(board: Path) -> None:
    assert {path.name for path in board.parent.iterdir()} == {"site"}
    assert all(re.fullmatch(r"[a-z0-9._-]+", path.name) for path in board.rglob("*"))


def test_two_bundles_of_a_method_both_have_a_row(board: Path) -> None:
    text = (board / "boards/emoji/emoji/1.html").read_text(encoding="utf-8")
    first, _, second = text.partition("</section>")
    rows = Tables(first).starting("lineas")
    assert len(rows) == 2
    assert {row[-1].split()[1] for row in rows} == {"2026-02-01", "2026-04-01"}
    assert len(Tables(second).starting("lineas")) == 1


def test_another_version_of_a_set_has_a_page_of_its_own(board: Path) -> None:
    table = Tables((board / "boards/emoji/emoji/2.html").read_text(encoding="utf-8"))
    (row,) = table.starting("lineas")
    assert row[-1].split()[1] == "2026-05-01"


def test_a_row_has_the_figures_of_the_report(board: Path, bundles: Path) -> None:
    with unpacked(bundles / "next-version.bundle.zip") as run, Store.read(run) as store:
        summary = Summary(store)
        (line,) = [each for each in summary.leaderboard if each.method == "lineas"]
        place = summary.ranks.get("lineas") if summary.ranks else None
    page = Page((board / "boards/emoji/emoji/2.html").read_text(encoding="utf-8"))
    assert place
    assert line.headline
    cells = [attributes for tag, attributes in page.tags if tag in ("th", "td", "span", "small")]
    start = next(k for k, each in enumerate(cells) if each.get("data-value") == "lineas")
    values = [float(each["data-value"]) for each in cells[start:] if is_number(each)]
    assert values[0] == place.rank
    assert values[1] == pytest.approx(line.headline.mean)
    lows = [float(each["data-low"]) for each in cells[start:] if "data-low" in each]
    assert lows[0] == pytest.approx(line.headline.low)


def is_number(attributes: dict[str, str]) -> bool:
    return re.fullmatch(r"-?[0-9.e-]+", attributes.get("data-value", "")) is not None


def test_the_history_of_a_method_is_the_latest_first(board: Path) -> None:
    text = (board / "methods/lineas.html").read_text(encoding="utf-8")
    own = [part for part in text.split("<section") if part.count('data-words="lineas ') == 2]
    (section,) = own
    assert re.findall(r'<td data-value="(2026-[^"]*)"', section) == [
        "2026-04-01 11:00",
        "2026-02-01 11:00",
    ]
    assert '<svg class="chart"' in section


def test_a_method_has_a_few_small_pictures(board: Path) -> None:
    page = Page((board / "methods/lineas.html").read_text(encoding="utf-8"))
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert 3 <= len(sources) <= 15
    for source in sources:
        data = (board / "methods" / source).read_bytes()
        assert data[8:12] == b"WEBP"
        assert len(data) < 10_000


def test_a_concept_has_its_means(board: Path, bundles: Path) -> None:
    with unpacked(bundles / "next-version.bundle.zip") as run, Store.read(run) as store:
        summary = Summary(store)
        means = summary.means("lineas", 1.0)
        concept = min(means)
    records = json.loads((board / f"concepts/emoji/2/{concept}.json").read_text())
    rows = [dict(zip(records["columns"], row, strict=True)) for row in records["rows"]]
    (own,) = [row for row in rows if row["method"] == "lineas"]
    assert own["concept_gain"] == means[concept]
    html = (board / f"concepts/emoji/2/{concept}.html").read_text(encoding="utf-8")
    (row,) = Tables(html).starting("lineas")
    assert row[2] == f"{means[concept]:+.2f}".replace("0.", ".")


def test_only_the_bundle_with_a_verification_is_marked(board: Path) -> None:
    rows = Tables((board / "bundles.html").read_text(encoding="utf-8")).rows[1:]
    marks = {row[0].split()[0]: row[-1].split()[:2] for row in rows}
    verified = [name for name, words in marks.items() if words[0] == "verified"]
    assert verified == ["first.bundle.zip"]
    assert all(
        words == ["not", "verified"] for name, words in marks.items() if name not in verified
    )
    text = Page((board / "bundles.html").read_text(encoding="utf-8")).text
    assert "1 hold, 0 differ, 1 not checked" in text
    assert "all <scores> follow" in text


def test_the_data_have_every_row_of_every_bundle(board: Path, bundles: Path) -> None:
    lines = list(csv.DictReader((board / "leaderboard.csv").open(encoding="utf-8", newline="")))
    recorded = 0
    for bundle in bundles.glob("*.zip"):
        with unpacked(bundle) as run:
            rows = csv.DictReader((run / "leaderboard.csv").open(encoding="utf-8", newline=""))
            recorded += len(list(rows))
    assert len(lines) == recorded
    record = json.loads((board / "leaderboard.json").read_text(encoding="utf-8"))
    assert len(record["rows"]) == recorded
    (own,) = [
        line
        for line in lines
        if line["method"] == "lineas" and line["file"].startswith("next") and line["rank"]
    ]
    assert (own["concept_set_version"], own["made"], own["verification"]) == (
        "2",
        "2026-05-01 11:00",
        "none",
    )


def test_no_cell_of_a_data_file_is_a_formula(board: Path) -> None:
    for path in board.rglob("*.csv"):
        for row in csv.reader(path.open(encoding="utf-8", newline="")):
            assert not [cell for cell in row if re.match(r"[=+@]|-[^0-9.]", cell)], path


def test_all_pages_are_in_the_list_of_addresses(board: Path) -> None:
    record = json.loads((board / "index.json").read_text(encoding="utf-8"))
    named = {f"{each['address']}.html" for group in record.values() for each in group}
    found = {path.relative_to(board).as_posix() for path in board.rglob("*.html")}
    assert found - named == {"index.html", "bundles.html"}
    assert named <= found

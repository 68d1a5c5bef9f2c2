import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from kit import report_run
from kit.html_page import Page

from htbench import report
from htbench.core.errors import Missing
from htbench.run.store import Sample, Store

HOSTILE = (
    "</script><script>alert(1)</script>\"'><img src=//example.org/x onerror=alert(2)>{{ 7*7 }}"
    + "A" * 10_000
)
SMALL: dict[str, Any] = {
    "methods": ("none", "linear-act", "hypertransport"),
    "concepts": 2,
    "prompts": report_run.PROMPTS[:1],
    "strengths": (0.0, 1.0),
    "size": 8,
}


def page(folder: Path, **changes: Any) -> Page:
    return Page(
        report.write(report_run.build(folder, **{**SMALL, **changes})).read_text(encoding="utf-8")
    )


def test_the_same_store_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "run", **SMALL)
    first = report.write(folder).read_bytes()
    assert report.write(folder).read_bytes() == first


def test_report_and_leaderboard_are_the_only_files_that_are_added(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "run", **SMALL)
    before = {path.name for path in folder.iterdir()}
    report.write(folder)
    assert {path.name for path in folder.iterdir()} - before == {
        "report.html",
        "leaderboard.csv",
        "leaderboard.json",
        "leaderboard.md",
        "index.json",
        ".report.lock",
    }


def test_no_run_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no run"):
        report.write(tmp_path)


def test_hostile_words_are_text(tmp_path: Path) -> None:
    seen = page(tmp_path / "run", text=HOSTILE, prompts=[HOSTILE], made=2, problem=HOSTILE)
    assert seen.text.count(HOSTILE) >= 3
    assert [tag for tag, _ in seen.tags].count("script") == 4
    assert "img" not in {tag for tag, _ in seen.tags}
    assert not {name for _, attributes in seen.tags for name in attributes if name.startswith("on")}


def test_hostile_words_reach_the_gallery_whole(tmp_path: Path) -> None:
    seen = page(tmp_path / "run", text=HOSTILE, prompts=[HOSTILE], made=2, problem=HOSTILE)
    data = seen.gallery
    assert {concept["text"] for concept in data["concepts"]} == {HOSTILE}
    assert data["prompts"][0]["text"] == HOSTILE
    assert HOSTILE in seen.shard["problems"]


def test_a_method_s_hostile_name_is_text_wherever_it_stands(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>&\"'"
    seen = page(
        tmp_path / "run",
        methods=("none", "prompt", name, "hypertransport"),
        concepts=3,
        strengths=(0.0, 0.5, 1.0),
    )
    assert (
        seen.text.count(name) > 8
    )  # leaderboard, pairs, claims, speed, strengths, kinds, trust, provenance
    assert "img" not in {tag for tag, _ in seen.tags}
    assert not {
        attribute
        for _, attributes in seen.tags
        for attribute in attributes
        if attribute.startswith("on")
    }


def test_no_address_is_remote_but_links_to_papers(tmp_path: Path) -> None:
    seen = page(tmp_path / "run")
    addresses = [
        (tag, attributes.get("rel"), attributes.get(name, ""))
        for tag, attributes in seen.tags
        for name in ("src", "href", "srcset", "action")
    ]
    assert {(tag, rel) for tag, rel, address in addresses if "//" in address} == {
        ("a", "noreferrer")
    }
    assert not re.search(r"url\(|@import", seen.data["style"][0])


def test_the_policy_allows_this_script_and_style_alone(tmp_path: Path) -> None:
    seen = page(tmp_path / "run")
    policy = next(
        attributes["content"] for tag, attributes in seen.tags if attributes.get("http-equiv")
    )
    hashes = [
        f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
        for text in (seen.data["style"][0], seen.data["script"][-1])
    ]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src {hashes[0]}; script-src {hashes[1]}; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not [attributes for _, attributes in seen.tags if "style" in attributes]


def test_a_half_finished_run_says_how_much_is_done_and_why_the_rest_is_not(tmp_path: Path) -> None:
    seen = page(tmp_path / "run", made=2, problem="the image is one flat colour")
    assert (
        "7 of 10 planned cells are done; 2 are not made yet, 1 failed and 0 have no score."
        in seen.text
    )
    assert "1× the image is one flat colour" in seen.text
    assert {"the image is one flat colour", "not made yet"} <= set(seen.shard["problems"])


def test_one_concept_has_no_interval_and_no_best_method(tmp_path: Path) -> None:
    seen = page(tmp_path / "run", concepts=1)
    assert "One concept gives no interval" in seen.text
    assert "nan" not in seen.text.lower().split()


def test_concepts_of_one_word_have_no_interval_and_no_best_method(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "run", **{**SMALL, "concepts": 12})
    with Store.open(folder) as store:
        concepts = store.facts()["concepts"].items()
        store.set_facts(concepts={name: {**fact, "families": ["neon"]} for name, fact in concepts})
    seen = Page(report.write(folder).read_text(encoding="utf-8"))
    assert "Too few concepts are independent (" in seen.text
    assert "so this run cannot say which method is better" in seen.text


def test_gain_at_equal_preservation_stands_beside_the_leaderboard(tmp_path: Path) -> None:
    seen = page(tmp_path / "run", concepts=12, strengths=(0.0, 1.0, 2.0))
    assert "Ranked by concept gain at the strength that keeps .50 of the image." in seen.text


def test_the_gallery_is_the_second_section_and_the_navigation_names_sections_as_they_are_headed(
    tmp_path: Path,
) -> None:
    html = report.write(report_run.build(tmp_path / "run", **SMALL)).read_text()
    links = re.findall(r'<li><a href="#([^"]+)">([^<]+)</a></li>', html)
    headings = re.findall(r'<section id="([^"]+)">\s*<h2>([^<]+?)\s*(?:<small|</h2>)', html)
    assert links[:2] == [("leaderboard", "Leaderboard"), ("gallery", "Gallery")]
    assert links == [heading for heading in headings if heading[0] != "absent"]


def test_parts_that_a_run_lacks_share_one_section_with_the_commands_that_add_them(
    tmp_path: Path,
) -> None:
    text = page(tmp_path / "run").text.partition("Not in this run")[2]
    assert "Time No times by the timing protocol. htbench time --model emoji --name run" in text
    assert f"{report_run.COMMAND} --tune-strength" in text
    assert "--method hypertransport-image" in text
    assert "Judges" in text
    assert "People" in text


def test_methods_of_the_leaderboard_link_to_their_papers(tmp_path: Path) -> None:
    seen = page(tmp_path / "run")
    links = {each["href"] for tag, each in seen.tags if tag == "a" and "title" in each}
    assert links == {"https://arxiv.org/abs/2410.23054", "https://arxiv.org/abs/2605.08254"}


def test_equal_methods_share_a_tier_and_nobody_wins(tmp_path: Path) -> None:
    text = page(tmp_path / "run", methods=("none", "stranger-1", "stranger-2"), concepts=12).text
    assert "tie for first: their concept gains do not differ significantly." in text
    assert text.count("1–2 tier 1") == 4  # by gain and by presence


def test_methods_with_many_cells_missing_are_not_compared(tmp_path: Path) -> None:
    text = page(tmp_path / "run", concepts=3, made=6).text
    assert "Fewer than two methods can be ranked." in text
    assert "hypertransport is not ranked: 1 of 3 cells have no scores yet." in text


def test_a_method_that_is_told_apart_from_all_others_is_said_to_be(tmp_path: Path) -> None:
    text = page(tmp_path / "run", methods=("none", "mean-shift", "lineas"), concepts=12).text
    assert "lineas adds most of the concept (" in text
    assert "), significantly more than the other method." in text
    assert "1 tier 1" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": ("none",)},
        {"methods": ("linear-act",)},
        {"strengths": (0.0,)},
        {"strengths": (0.25, 0.5)},
        {"strengths": (-1.0, 2.0)},
        {"timed": False},
        {"scored": False},
        {"made": 0},
        {"methods": (*report_run.METHODS, *(f"stranger-{k}" for k in range(6)))},
    ],
    ids=str,
)
def test_unusual_runs_have_every_section(tmp_path: Path, changes: dict[str, Any]) -> None:
    ids = {attributes.get("id") for _, attributes in page(tmp_path / "run", **changes).tags}
    assert {"leaderboard", "speed", "strengths", "kinds", "gallery", "provenance"} <= ids


def test_a_run_without_facts_and_cells_renders(tmp_path: Path) -> None:
    Store.open(tmp_path / "run").close()
    assert (
        "Nothing has been planned"
        in Page(report.write(tmp_path / "run").read_text(encoding="utf-8")).text
    )


def test_facts_of_strange_shapes_render(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "run", **SMALL)
    with Store.open(folder) as store:
        store.set_facts(
            model=None,
            scorer=[1],
            environment={"cpu": {"a": [None, True, 1.5]}},
            concepts={"lemon": 3},
            concept_set="x",
        )
    assert (
        'cpu {"a": [null, true, 1.5]}'
        in Page(report.write(folder).read_text(encoding="utf-8")).text
    )


def test_circular_scores_and_leaks_are_announced(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "run", **SMALL)
    with Store.open(folder) as store:
        methods = store.facts()["methods"]
        methods["hypertransport"]["training"]["encoders"] = ["emoji-clip-b"]
        methods["hypertransport"]["leaked"] = ["lemon"]
        store.set_facts(methods=methods)
    text = Page(report.write(folder).read_text(encoding="utf-8")).text
    assert "hypertransport reads concepts with emoji-clip-b" in text
    assert "hypertransport reads concepts with it too, and so cannot be ranked by it" in text
    assert "trained on 1 of the concepts that it is evaluated on: lemon." in text


def test_every_ratio_comes_with_its_numerator_and_denominator(tmp_path: Path) -> None:
    text = page(tmp_path / "run").text
    assert "2.38 s / 11.0 ms" in text
    assert "C not measured here" in text
    assert "23.0 min cpu" in text


def test_training_that_never_pays_says_never(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "run", **SMALL, timed=False)
    with Store.open(folder) as store:
        store.add_timing("towards", "linear-act", "lemon", 1.0, "cpu")
        store.add_timing("towards", "hypertransport", "lemon", 2.0, "cpu")
    text = Page(report.write(folder).read_text(encoding="utf-8")).text
    assert "never a prediction costs no less than a fit" in text
    assert "Its training never pays off." in text


def test_a_report_needs_no_torch() -> None:
    code = "import sys, htbench.report; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def _timed(folder: Path, *, revision: str) -> Path:
    with Store.open(folder) as store:
        samples = [
            Sample(method="", work="image", phase="generate", concept="c", round=k, seconds=0.5)
            for k in range(1, 12)
        ]
        for method, seconds in {"lineas": 10.0, "hypertransport": 0.1}.items():
            samples += [
                Sample(
                    method=method, work="concept", phase="", concept="c", round=k, seconds=seconds
                )
                for k in range(1, 12)
            ]
        store.add_samples("s", samples)
        methods = {
            "lineas": {"kind": "per-concept"},
            "hypertransport": {"kind": "amortised", "training": {"seconds": 99.0}},
        }
        store.set_facts(timing={"s": {"conditions": {"revision": revision}, "methods": methods}})
    report.write(folder)
    return folder


def test_times_stand_beside_scores_of_the_same_model(tmp_path: Path) -> None:
    seen = (
        _timed(report_run.build(tmp_path / "run", **SMALL), revision="1") / "report.html"
    ).read_text()
    assert "100×" in seen
    assert "99.0 s / 9.90 s" in seen
    assert "Concept gain against the time of a concept" in seen


def test_times_of_another_model_stand_alone(tmp_path: Path) -> None:
    seen = (
        _timed(report_run.build(tmp_path / "run", **SMALL), revision="2") / "report.html"
    ).read_text()
    assert "This run has no scores of this model, so times stand alone." in seen


def test_a_run_of_times_alone_has_no_empty_leaderboard(tmp_path: Path) -> None:
    seen = (_timed(tmp_path / "run", revision="1") / "report.html").read_text()
    assert "This run holds times alone" in seen
    assert 'id="leaderboard"' not in seen


@pytest.mark.parametrize(
    ("methods", "heading"),
    [
        (("none", "linear-act"), "Kind"),
        (("none", "linear-act", "lineas", "hypertransport"), "Method"),
    ],
)
def test_the_table_by_kind_is_as_narrow_as_it_can_be(
    tmp_path: Path, methods: tuple[str, ...], heading: str
) -> None:
    html = report.write(
        report_run.build(tmp_path / "run", **{**SMALL, "methods": methods})
    ).read_text()
    section = html.partition('<section id="kinds">')[2].partition("</section>")[0]
    assert re.findall(r"<th scope=\"col\">([^<]*)", section)[0] == heading
    assert section.count('class="narrow"') == 2 * (len(methods) - 1)  # two kinds

"""The origin of numbers on the page: coverage, terms, works to cite."""

import re
from pathlib import Path

from kit import report_run

from htbench.core import registry
from htbench.report.sections import provenance, trust
from htbench.run.store import Store
from htbench.run.summary import Summary


def run(folder: Path, **changes: object) -> Path:
    settings = {
        "methods": ("none", "lineas", "hypertransport"),
        "concepts": 2,
        "prompts": report_run.PROMPTS[:1],
        "strengths": (0.0, 1.0),
        "size": 8,
    }
    return report_run.build(folder, **{**settings, **changes})  # type: ignore[arg-type]


def test_every_planned_cell_is_made_failed_or_not_tried(tmp_path: Path) -> None:
    with Store.read(run(tmp_path / "run", made=3, problem="no memory")) as store:
        found = trust.coverage(Summary(store))
        planned = dict(store.select("SELECT method, count(*) FROM cells GROUP BY 1"))
    assert {one.method: one.planned for one in found} == planned
    assert sum(sum(one.failed.values()) for one in found) == 1
    assert all(
        one.made + sum(one.failed.values()) + one.pending == one.planned and one.pending >= 0
        for one in found
    )


def test_images_without_scores_are_made_and_not_scored(tmp_path: Path) -> None:
    with Store.read(run(tmp_path / "run", scored=False)) as store:
        assert [
            (one.made == one.planned, one.scored) for one in trust.coverage(Summary(store))
        ] == [(True, 0)] * 3


def test_methods_with_the_same_leakage_audit_share_a_line(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    seen = {
        "trained_on": 3,
        "near": [{"evaluated": "a", "trained": "b", "cosine": 0.97}],
        "nearest": 0.97,
        "encoder": "clip",
    }
    with Store.open(folder) as store:
        methods = store.facts()["methods"]
        audited = {
            "lineas": {"audit": seen},
            "hypertransport": {"audit": seen},
            "none": {"audit": {**seen, "trained_on": 4}},
        }
        store.set_facts(
            methods={name: {**card, **audited.get(name, {})} for name, card in methods.items()}
        )
        found = trust.leakage_audits(Summary(store))
    assert sorted(sorted(line.methods) for line in found) == [
        ["hypertransport", "lineas"],
        ["none"],
    ]


def test_every_work_is_cited_once_and_the_model_s_with_them(tmp_path: Path) -> None:
    with Store.read(run(tmp_path / "run")) as store:
        found = provenance.citations(Summary(store))
    assert found.count("@inproceedings{rodriguez2025,") == 1
    assert found.count("@software{htbench,") == 1


def test_every_shipped_model_and_encoder_has_a_work_to_cite_and_its_bibtex_is_whole() -> None:
    stated = provenance._works()
    shipped = {
        name
        for group in ("models", "encoders")
        for name, entry in registry.plugins(group).items()
        if entry.value.startswith("htbench.")
    }
    assert shipped <= set(stated["parts"])
    cited = {work for part in stated["parts"].values() for work in part["works"]}
    assert cited == set(stated["works"])
    assert all(
        re.match(r"@\w+\{[\w-]+,", text.strip()) and text.count("{") == text.count("}")
        for text in stated["works"].values()
    )


def test_terms_are_those_the_run_recorded_else_those_that_are_known(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    with Store.open(folder) as store:
        store.set_facts(
            scorers=[{"name": "emoji-clip-b"}, {"name": "somebody-s"}],
            gauges=[{"name": "dinov2-small", "licence": "Apache-2.0"}],
        )
        found = {part.name: part.licence for part in provenance.attributions(Summary(store))}
    assert found["emoji-clip-b"] == "Apache-2.0, with htbench"
    assert (found["somebody-s"], found["dinov2-small"]) == ("", "Apache-2.0")

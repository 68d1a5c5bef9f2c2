"""The facts of a run as they are read: missing and damaged parts are empty, the rest is kept."""

import math
from pathlib import Path

import pytest
from kit import report_run
from pydantic import BaseModel

from htbench.run.fact_table import FactGroup, Facts, MethodFacts, PlanFacts
from htbench.run.store import Store


def test_an_empty_store_has_empty_facts(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run") as store:
        facts = Facts.read(store)
    assert (facts.stored, facts.methods, facts.scorer.id, facts.sources) == ({}, {}, "", [])


def test_the_facts_of_a_run_are_read_by_name(tmp_path: Path) -> None:
    with Store.read(report_run.build(tmp_path / "run", concepts=1, size=8)) as store:
        facts = Facts.read(store)
    assert facts.scorer.id == "emoji-clip-b@1"
    assert facts.concepts["lemon"].text == "with lemon"
    assert facts.methods["hypertransport"].training.seconds == 1380.0
    assert facts.plan.strengths == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("damage", [None, 3, "x", [1], {}])
def test_a_damaged_group_reads_as_its_empty_default(damage: object) -> None:
    stored = dict.fromkeys(Facts.model_fields, damage)
    facts = Facts.model_validate({**stored, "methods": {"lineas": damage}, "command": None})
    assert facts.methods == {"lineas": facts.methods["lineas"]}
    assert facts.methods["lineas"].training.encoders == []
    assert math.isnan(facts.methods["lineas"].training.seconds)
    assert (facts.model.name, facts.command, facts.tuned) == ("", "", {})


def test_one_damaged_field_leaves_the_others() -> None:
    card = MethodFacts.model_validate({"kind": "prompt", "settings": 3, "audit": {"near": [7, {}]}})
    assert (card.kind, card.settings, len(card.audit.near)) == ("prompt", {}, 2)


def test_a_group_keeps_what_has_no_field_and_its_order() -> None:
    plan = PlanFacts.model_validate({"new": 1, "batch": 16})
    assert list(plan.stored.items()) == [("new", 1), ("batch", 16)]


def test_a_group_is_written_as_it_was_given() -> None:
    facts = Facts(plan=PlanFacts(batch=4), methods={"a": MethodFacts.model_validate({"x": (1,)})})
    assert facts.model_dump(mode="json") == {
        "plan": {"batch": 4},
        "methods": {"a": {"x": [1]}},
    }


def test_every_field_has_an_empty_default() -> None:
    groups: list[type[BaseModel]] = [FactGroup, *FactGroup.__subclasses__()]
    assert all(group() == group.model_validate({}) for group in groups)

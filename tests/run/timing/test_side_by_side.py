"""Times of fits of several concepts side by side."""

from dataclasses import replace
from pathlib import Path

import pytest
from kit.toy import Toy

from htbench.methods.lineas import Lineas
from htbench.run.store import Sample
from htbench.run.timing import side_by_side
from htbench.run.timing.plan import TimingProtocol
from htbench.run.timing.protocol import TimedMethod, TimingHarness
from htbench.run.timing.trainings import KeptTrainings
from htbench.steering import baseline, concept
from htbench.steering.concept import Concept

PROTOCOL = TimingProtocol(together=4, minutes=9.0)


@pytest.fixture
def taken() -> list[Sample]:
    return []


@pytest.fixture
def harness(tmp_path: Path, taken: list[Sample]) -> TimingHarness:
    splits = concept.load("emoji").splits
    return TimingHarness(
        model=Toy(),
        concepts=splits["test"],
        training_concepts=splits["train"],
        warmup_concept=splits["dev"][0],
        prompt="a cat",
        protocol=PROTOCOL,
        folder=tmp_path,
        kept=KeptTrainings(folder=tmp_path / "kept"),
        sink=taken.extend,
    )


def entry(harness: TimingHarness, steps: int) -> TimedMethod:
    card = baseline.load_card("lineas").with_settings({"steps": steps, "batch": 2, "samples": 2})
    method: Lineas = baseline.load_method(card)
    steering = method.train(harness.model, (), seed=0)
    return TimedMethod(card=card, steering=steering, steps=2, of_steps=steps)


def test_each_fit_is_of_other_concepts_and_of_the_first_steps(
    harness: TimingHarness, taken: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, list[Concept]]] = []
    fit_many = Lineas.fit_many

    def noted(self: Lineas, model: Toy, concepts: list[Concept], *, seed: int) -> object:
        calls.append((self.steps, list(concepts)))
        return fit_many(self, model, concepts, seed=seed)

    monkeypatch.setattr(Lineas, "fit_many", noted)
    found = side_by_side.measure(harness, entry(harness, 60))
    assert found == side_by_side.SideBySide(concepts=4, steps=3, scale=20.0)
    assert [steps for steps, _ in calls] == [3, 3, 3]
    assert len({each.id for _, group in calls for each in group}) == 12
    wholes = [sample for sample in taken if not sample.phase]
    assert [(each.work, each.round) for each in wholes] == [("together", k) for k in (1, 2, 3)]


def test_a_session_without_time_for_more_has_one_fit(
    harness: TimingHarness, taken: list[Sample]
) -> None:
    short = replace(harness, protocol=replace(PROTOCOL, minutes=0.0))
    side_by_side.measure(short, entry(short, 60))
    assert {sample.round for sample in taken} == {1}


@pytest.mark.parametrize(("card", "together"), [("linear-act", 4), ("lineas", 1)])
def test_other_methods_and_single_concepts_have_none(
    harness: TimingHarness, taken: list[Sample], card: str, together: int
) -> None:
    alone = replace(harness, protocol=replace(PROTOCOL, together=together))
    method = alone.prepare(card)
    assert side_by_side.measure(alone, method) is None
    assert not taken

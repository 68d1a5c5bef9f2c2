"""The timing protocol on the toy model, with methods of known cost."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from kit.toy import Toy

from htbench.core.phase import phase
from htbench.run.store import Sample
from htbench.run.timing.figures import Session
from htbench.run.timing.plan import TimingProtocol
from htbench.run.timing.protocol import TimedMethod, TimingHarness, is_steady
from htbench.run.timing.schedule import MAX_STEPS, MIN_STEPS
from htbench.run.timing.trainings import KeptTrainings
from htbench.stats.durations import MIN_PIECES
from htbench.steering import baseline, concept
from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention, Rewrite
from htbench.steering.training import Training

CONCEPTS = concept.load("emoji").splits
STEPS = baseline.load_card("hypertransport").settings["steps"]
SHORT = TimingProtocol(rounds=8, steps=2, train_concepts=2, train_steps=1)


def spin(seconds: float) -> float:
    """Keeps the processor busy until `seconds` have passed; gives how many did."""
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        pass
    return passed


@dataclass
class Costs:
    """A steering that takes as long as `work` does, and writes down what it was asked for."""

    work: Callable[[Concept], float]
    asked: list[str] = field(default_factory=list)
    training: Training = field(default_factory=Training)

    def towards(self, concept: Concept) -> Intervention:
        self.asked.append(concept.id)
        with phase("fit"):
            self.work(concept)
        return Rewrite(more=concept.template, less="{prompt}")

    def save(self, path: Path) -> None:
        path.touch()


class Forgetful(Toy):
    """Counts how often it was told to forget prompts."""

    forgot = 0

    def forget_prompts(self) -> None:
        self.forgot += 1


def bench(
    folder: Path, taken: list[Sample], *, model: Toy | None = None, protocol: TimingProtocol = SHORT
) -> TimingHarness:
    return TimingHarness(
        model=model or Toy(),
        concepts=CONCEPTS["test"],
        training_concepts=CONCEPTS["train"],
        warmup_concept=CONCEPTS["dev"][0],
        prompt="a cat",
        protocol=protocol,
        folder=folder,
        kept=KeptTrainings(folder=folder / "kept"),
        sink=taken.extend,
    )


def entry(name: str, steering: Costs) -> TimedMethod:
    return TimedMethod(card=baseline.load_card(name), steering=steering)


def timed(folder: Path, *entries: TimedMethod, protocol: TimingProtocol = SHORT) -> Session:
    taken: list[Sample] = []
    list(bench(folder, taken, protocol=protocol).run(entries))
    return Session(taken, {"methods": {each.card.name: each.facts() for each in entries}})


def test_rounds_of_known_length_are_measured_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("htbench.run.timing.stopwatch.time.perf_counter", lambda: clock[0])

    def work(_: Concept) -> float:
        clock[0] += 3.0
        return 3.0

    (pace,) = timed(
        tmp_path, entry("lineas", Costs(work)), protocol=TimingProtocol(rounds=9, again=0)
    ).method_times
    assert (pace.phases["fit"].median, pace.concept.median, pace.concept.n) == (3.0, 3.0, 9)


def test_a_method_that_keeps_answers_is_flagged(tmp_path: Path) -> None:
    kept: dict[str, float] = {}
    (pace,) = timed(
        tmp_path,
        entry(
            "lineas", Costs(lambda c: 0.0 if c.id in kept else kept.setdefault(c.id, spin(0.01)))
        ),
    ).method_times
    assert pace.probe.caches


def test_a_method_whose_cost_varies_by_concept_is_not_flagged(tmp_path: Path) -> None:
    costs = {concept.id: 0.002 * (1 + 5 * k % 13) for k, concept in enumerate(CONCEPTS["test"])}
    (pace,) = timed(tmp_path, entry("lineas", Costs(lambda c: spin(costs[c.id])))).method_times
    assert not pace.probe.caches


def test_methods_take_turns_on_concepts_that_are_new_to_them(tmp_path: Path) -> None:
    first, second = Costs(lambda _: 0.0), Costs(lambda _: 0.0)
    timed(
        tmp_path,
        entry("lineas", first),
        entry("linear-act", second),
        protocol=TimingProtocol(rounds=6, again=2),
    )
    assert first.asked == second.asked
    assert [id_ for k, id_ in enumerate(first.asked) if id_ not in first.asked[:k]] == [
        each.id for each in CONCEPTS["test"][:6]
    ]
    assert len(first.asked) == 8


def test_prompts_are_encoded_anew_for_every_measurement(tmp_path: Path) -> None:
    model = Forgetful()
    list(
        bench(tmp_path, [], model=model, protocol=TimingProtocol(rounds=1, again=1)).run(
            [entry("lineas", Costs(lambda _: 0.0))]
        )
    )
    assert model.forgot == 4  # the bare image, a concept, its image, the concept again


def test_warming_up_is_kept_and_does_not_count(tmp_path: Path) -> None:
    taken: list[Sample] = []
    ready = entry("lineas", Costs(lambda _: 0.0))
    bench(tmp_path, taken).warm_up(ready)
    assert {sample.round for sample in taken} == {0}
    assert Session(taken, {"methods": {"lineas": ready.facts()}}).method_times == []
    assert all(sample.memory for sample in taken)


def test_timing_ends_in_time(tmp_path: Path) -> None:
    taken: list[Sample] = []
    assert list(
        bench(tmp_path, taken, protocol=TimingProtocol(minutes=0)).run(
            [entry("lineas", Costs(lambda _: 0.0))]
        )
    ) == [1]


def test_noise_is_steady_once_three_more_samples_leave_it_as_it_is() -> None:
    assert is_steady([1.0] * 10)
    assert not is_steady([1.0] * 7 + [1.5] * 4)
    assert is_steady([1e-6, 9e-6] * 5)


def test_a_fit_of_many_steps_is_measured_over_a_few_and_scaled(tmp_path: Path) -> None:
    ready = bench(tmp_path, []).prepare("lineas-1000")
    assert (ready.scale, ready.facts()["steps"]) == (500, 1000)
    assert bench(tmp_path, []).prepare("linear-act").scale == 1


def test_steps_are_chosen_by_the_time_that_a_step_took(tmp_path: Path) -> None:
    session = bench(tmp_path, [], protocol=TimingProtocol(minutes=60))
    ready = session.prepare("lineas-1000")
    assert ready.steps == MIN_STEPS
    pace = session.warm_up(ready)
    assert pace.step > 0
    assert session.plan([pace]).steps == MAX_STEPS
    assert session.plan([replace(pace, step=20.0)]).steps in range(MIN_STEPS, MAX_STEPS)
    assert session.with_steps(ready, 7).scale == 1000 / 7
    assert session.with_steps(session.prepare("linear-act"), 7).scale == 1


def test_a_training_is_measured_once_for_all_sessions_in_a_folder(tmp_path: Path) -> None:
    first: list[Sample] = []
    second: list[Sample] = []
    measured = bench(tmp_path, first).prepare("hypertransport")
    kept = bench(tmp_path, second).prepare("hypertransport")
    assert {sample.work for sample in first} == {"learn"}
    assert second == []
    assert kept.training_cost.parts == measured.training_cost.parts
    assert kept.training_cost.measured
    assert kept.steering.towards(CONCEPTS["test"][0]).sites


def test_a_training_of_other_settings_is_measured_anew(tmp_path: Path) -> None:
    bench(tmp_path, []).prepare("hypertransport")
    taken: list[Sample] = []
    bench(tmp_path, taken, protocol=replace(SHORT, train_steps=2)).prepare("hypertransport")
    assert {sample.work for sample in taken} == {"learn"}


def test_a_training_of_another_machine_is_measured_anew(tmp_path: Path) -> None:
    bench(tmp_path, []).prepare("hypertransport")
    taken: list[Sample] = []
    elsewhere = KeptTrainings(folder=tmp_path / "kept", conditions={"machine": "another"})
    replace(bench(tmp_path, taken), kept=elsewhere).prepare("hypertransport")
    assert {sample.work for sample in taken} == {"learn"}


@pytest.mark.parametrize("ending", ["json", "steering"])
def test_a_damaged_training_is_measured_anew(ending: str, tmp_path: Path) -> None:
    bench(tmp_path, []).prepare("hypertransport")
    (file,) = (tmp_path / "kept").glob(f"*.{ending}")
    file.write_bytes(file.read_bytes()[:50])
    taken: list[Sample] = []
    assert bench(tmp_path, taken).prepare("hypertransport").training_cost.seconds > 0
    assert taken


def test_methods_with_one_base_share_its_training(tmp_path: Path) -> None:
    bench(tmp_path, []).prepare("hypertransport")
    taken: list[Sample] = []
    bench(tmp_path, taken).prepare("hypertransport-warm")
    assert taken == []


def test_the_phase_that_is_scaled_is_the_fit_alone() -> None:
    rows = [
        ("concept", "", 3.0),
        ("concept", "extract", 1.0),
        ("concept", "fit", 2.0),
        ("image", "", 0.6),
        ("image", "install", 0.5),
    ]
    samples = [
        Sample(method="lineas", work=work, phase=phase, concept="c", round=1, seconds=seconds)
        for work, phase, seconds in rows
    ]
    (pace,) = Session(samples, {"methods": {"lineas": {"scale": 10.0}}}).method_times
    assert pace.seconds == (1 + 10 * 2 + 0.5,)


def test_a_training_is_done_on_a_few_concepts_in_a_few_steps_and_scaled(tmp_path: Path) -> None:
    taken: list[Sample] = []
    shared = bench(tmp_path, taken).prepare("hypertransport").training_cost
    assert (shared.concepts, shared.of_concepts, shared.steps, shared.of_steps) == (
        2,
        len(CONCEPTS["train"]),
        1,
        STEPS,
    )
    train = [
        sample.seconds for sample in taken if (sample.work, sample.phase) == ("learn", "train")
    ]
    by_concepts, by_steps = shared.parts
    assert (by_steps.factor, by_steps.seconds) == (STEPS, pytest.approx(tuple(train)))
    assert by_concepts.factor == len(CONCEPTS["train"]) / 2
    assert len(train) == len(by_concepts.seconds) == MIN_PIECES


def test_a_method_that_refines_predictions_learns_what_predicts(tmp_path: Path) -> None:
    ready = bench(tmp_path, []).prepare("hypertransport-warm")
    assert (ready.training_cost.of_steps, ready.scale) == (STEPS, 1)
    assert ready.steering.towards(CONCEPTS["test"][0]).sites

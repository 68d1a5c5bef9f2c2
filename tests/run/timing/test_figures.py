"""Figures of raw samples against those computed by hand."""

from dataclasses import replace

import pytest

from htbench.core.errors import Refused
from htbench.run.store import Sample
from htbench.run.timing.figures import SHARED_CONDITIONS, Session, TimingSeries, caveats, saving

HERE = {
    "machine": "a",
    "device": "cpu",
    "threads": 2,
    "dtype": "float32",
    "model": "toy",
    "revision": "1",
    "process": 7,
}


def sample(method: str, work: str, phase: str, number: int, seconds: float) -> Sample:
    return Sample(
        method=method, work=work, phase=phase, concept=f"c{number}", round=number, seconds=seconds
    )


def session(**facts: object) -> Session:
    """Twelve rounds: a fit of 10 s or a prediction of 0.1 s, 0.5 s per image, C = 99 s."""
    samples = []
    for k in range(1, 13):
        samples += [sample("", "image", "generate", k, 0.5)]
        for method, seconds in {"act": 9.99, "hyper": 0.09}.items():
            samples += [
                sample(method, "concept", "", k, seconds),
                sample(method, "image", "install", k, 0.01),
                sample(method, "image", "generate", k, 0.6),
            ]
            samples += [sample(method, "again", "", k, seconds)] if k < 9 else []
    trained = {"seconds": 99.0, "concepts": 2, "of_concepts": 4, "steps": 5, "of_steps": 1000}
    methods = {"act": {"kind": "per-concept"}, "hyper": {"kind": "amortised", "training": trained}}
    return Session(samples, {"conditions": HERE, "methods": methods, **facts})


def test_figures_are_those_computed_by_hand() -> None:
    (found,) = session().comparisons
    assert (found.amortised.method, found.per_concept.method) == ("hyper", "act")
    assert [found.saving.speedup(m).value for m in (0, 1, 10, 100)] == [
        pytest.approx(each) for each in (10 / 0.1, 10.5 / 0.6, 15 / 5.1, 60 / 50.1)
    ]
    assert found.saving.break_even.value == pytest.approx(99 / 9.9)


@pytest.mark.parametrize("what", SHARED_CONDITIONS)
def test_times_of_different_conditions_make_no_ratio(what: str) -> None:
    one, other = (
        TimingSeries(seconds=(1.0,), conditions=HERE),
        TimingSeries(seconds=(1.0,), conditions=HERE | {what: "another"}),
    )
    with pytest.raises(Refused, match=f"times of different {what}"):
        saving(training=1.0, fit=one, predict=other, generate=one)


def test_a_reader_is_told_what_was_scaled_and_what_was_not_timed() -> None:
    told = caveats(session(untimed={"warm": "no weights"}))
    assert told == [
        "C of hyper is scaled from 2 of 4 concepts and 5 of 1,000 steps, "
        "learnt here for their time alone.",
        "warm was not timed: no weights",
    ]


@pytest.mark.parametrize(
    ("facts", "part"),
    [
        ({"interrupted": True}, "The session was interrupted"),
        ({"schedule": {"again": 6}}, "There was time for 6 repeated concepts, too few"),
        ({"schedule": {"again": 7}}, ""),
    ],
)
def test_a_reader_is_told_of_what_a_short_session_lacks(
    facts: dict[str, object], part: str
) -> None:
    added = set(caveats(session(**facts))) - set(caveats(session()))
    assert [sentence[: len(part)] for sentence in added] == ([part] if part else [])


def test_a_reader_is_told_that_an_earlier_session_measured_the_training() -> None:
    made = session()
    made.facts["methods"]["hyper"]["training"]["measured"] = "2026-11-29T10:00:00+00:00"
    assert any("an earlier session" in sentence for sentence in caveats(made))


def test_a_reader_is_told_of_kept_answers_noise_and_other_work() -> None:
    made = session(before={"load": [3.0, 2.0, 1.0], "cores": 2})
    faster = [
        replace(each, seconds=each.seconds / 9)
        if each.work == "again" and each.method == "hyper"
        else each
        for each in made.samples
    ]
    noisy = [
        replace(each, seconds=each.seconds * (1 + each.round / 24))
        if each.method == "act" and each.work == "concept"
        else each
        for each in faster
    ]
    told = " ".join(caveats(Session(noisy, made.facts)))
    assert "hyper answers a concept that it has seen 9.0 times as fast" in told
    assert "Times of act vary by more than 10 % of their median." in told
    assert "a load of 3 on 2 cores" in told


def test_a_reader_is_told_of_kept_prompts_and_of_another_encoder() -> None:
    told = " ".join(caveats(session(forgets=False, protocol={"encoder": "small-clip"})))
    assert "The model keeps encoded prompts" in told
    assert "read concepts with small-clip" in told


def test_without_images_there_is_no_comparison() -> None:
    made = session()
    assert Session([each for each in made.samples if each.method], made.facts).comparisons == []


def test_fits_side_by_side_are_compared_per_concept_beside_single_ones() -> None:
    made = session()
    made.facts["methods"]["act"]["together"] = {"concepts": 4, "steps": 3, "scale": 10.0}
    fits = [
        sample("act", "together", name, k, seconds)
        for k in (1, 2, 3)
        for name, seconds in {"": 5.0, "fit": 3.0}.items()
    ]
    timed = Session([*made.samples, *fits], made.facts)
    (alone,), (found,) = timed.comparisons, timed.comparisons_together
    assert (alone.fit, found.fit) == ("act", "act, 4 side by side")
    assert alone.saving.speedup().value == pytest.approx(10 / 0.1)
    # (5 + 9 x 3) / 4 per concept, and installing
    assert found.saving.speedup().value == pytest.approx((8 + 0.01) / 0.1)
    assert any("4 concepts side by side" in text for text in caveats(timed))


def test_a_rehearsal_on_tiny_weights_says_first_that_its_figures_mean_nothing() -> None:
    first, *_ = caveats(session(conditions=HERE | {"weights": "tiny"}))
    assert "rehearsal" in first
    assert not any("rehearsal" in sentence for sentence in caveats(session()))

"""Forecasts of `htbench run --dry-run`, from runs whose times are known."""

from pathlib import Path

import pytest
from kit import report_run

from htbench.run import plan
from htbench.run.forecast import RunForecast, forecast
from htbench.run.store import Store
from htbench.run.summary import Summary

METHODS = ("none", "prompt", "lineas", "ridge", "regression")


def promise(
    out: Path, *, folder: str = "planned", concepts: int = 10, **settings: object
) -> RunForecast:
    defaults = {"methods": METHODS, "strengths": (0.0, 1.0), "prompts": 2, "seeds": 1}
    resolved = plan.resolve(plan.build({**defaults, "limit": concepts, **settings}))
    return forecast(resolved, folder=out / folder, runs=out)


def earlier(out: Path, name: str, *methods: str) -> Path:
    return report_run.build(
        out / name,
        methods=("none", *methods),
        concepts=2,
        prompts=report_run.PROMPTS[:1],
        strengths=(0.0, 1.0),
        size=8,
    )


def test_without_an_earlier_run_only_counts_are_known(tmp_path: Path) -> None:
    found = promise(tmp_path, model="dmd2")
    assert (found.cells, found.images) == (10 * 2 * 9, 2 * (1 + 4 * 10))
    assert (found.generating, found.scoring, found.bytes, found.basis) == (None, None, None, ())
    assert found.unknown == ("lineas", "ridge", "regression")
    assert found.seconds is None


def test_on_the_embedded_model_shipped_times_serve_where_no_run_has_measured(
    tmp_path: Path,
) -> None:
    found = promise(tmp_path, methods=("none", "lineas-l2"))
    assert (found.unknown, len(found.basis)) == ((), 1)
    assert found.seconds is not None
    assert found.seconds > 10 * 5  # ten fits of more than five seconds
    earlier(tmp_path, "one", "lineas-l2")
    assert promise(tmp_path, methods=("none", "lineas-l2")).seconds != found.seconds


def test_each_method_s_learning_is_taken_from_whichever_run_timed_it(tmp_path: Path) -> None:
    earlier(tmp_path, "one", "lineas")
    earlier(tmp_path, "other", "prompt", "ridge")
    methods = ("none", "prompt", "lineas", "ridge")
    found = promise(tmp_path, methods=methods)
    assert found.unknown == ()
    with Store.read(tmp_path / "one") as one, Store.read(tmp_path / "other") as other:
        medians = {
            cost.method: cost.concept.median
            for store in (one, other)
            for cost in Summary(store).costs
            if cost.concept
        }
    assert found.learning == pytest.approx(10 * sum(medians[method] for method in methods))


@pytest.mark.parametrize("trained", [("ridge",), ("ridge", "regression")])
def test_what_methods_with_one_base_learn_beforehand_counts_once(
    tmp_path: Path, trained: tuple[str, ...]
) -> None:
    folder = earlier(tmp_path, "one", "ridge", "regression")
    before = promise(tmp_path).learning
    with Store.open(folder) as store:
        cards = store.facts()["methods"]
        store.set_facts(
            methods={
                name: {**card, "training": {"seconds": 600.0 if name in trained else 0.0}}
                for name, card in cards.items()
            }
        )
    assert promise(tmp_path).learning - before == pytest.approx(600)


def test_images_and_scores_cost_what_they_cost_before(tmp_path: Path) -> None:
    with Store.open(earlier(tmp_path, "one", "lineas")) as store:
        store.add_timing("score", "emoji-clip-b", "", 0.25, "cpu")
    found = promise(tmp_path)
    assert found.generating == pytest.approx(0.034 * found.images)
    assert found.scoring == pytest.approx(0.25 * found.cells)


def test_choosing_strengths_counts(tmp_path: Path) -> None:
    plain, tuned = promise(tmp_path), promise(tmp_path, tune_strength=True, tune_concepts=3)
    assert (tuned.cells - plain.cells, tuned.images - plain.images) == (
        3 * 2 * (1 + 4),
        2 * (1 + 4 * 3),
    )


def test_all_dev_concepts_choose_strengths_by_default(tmp_path: Path) -> None:
    found = promise(tmp_path, tune_strength=True)
    dev = len(plan.resolve(plan.build({"concepts": "dev"})).concepts)
    assert (found.tuning_concepts, found.tuning_cells) == (dev, dev * 2 * (1 + 4))


def test_a_run_that_is_done_has_nothing_left_to_do(tmp_path: Path) -> None:
    settings = {
        "methods": ("none", "prompt", "lineas"),
        "prompts": 1,
        "seeds": 1,
        "strengths": (0.0, 1.0),
        "limit": 2,
    }
    folder = earlier(tmp_path, "one", "prompt", "lineas")
    with Store.open(folder) as store:
        store.set_facts(plan=plan.build(settings).model_dump(mode="json"))
    found = promise(tmp_path, folder="one", concepts=2, **settings)
    assert (found.images, found.learning, found.generating) == (0, 0.0, 0.0)

"""Runs whose methods fit several concepts side by side."""

from pathlib import Path

import pytest

from htbench.methods.lineas import Lineas
from htbench.run import runner
from htbench.run.costs import fit_times
from htbench.run.plan import Plan, RunOptions, build
from htbench.run.store import Store
from htbench.steering import intervention
from htbench.steering.concept import Concept
from htbench.steering.intervention import Affine
from htbench.steering.model import Model

FOUR = RunOptions(fit_together=4, reuse=False)


@pytest.fixture
def plan(toy_plugins: Path, tmp_path: Path) -> Plan:
    card = tmp_path / "short.toml"
    card.write_text(
        'name = "short"\nmethod = "lineas"\nkind = "per-concept"\nsummary = "Short."\n'
        "[settings]\nsteps = 2\nbatch = 2\nsamples = 2\n"
    )
    methods = [str(card), "mean-shift"]
    return build(
        {"model": "toy", "methods": methods, "limit": 6, "prompts": 2, "strengths": [0.0, 1.0]}
    )


def together(folder: Path, method: str = "short") -> list[int]:
    with Store.read(folder) as store:
        return [timing.together for timing in store.fit_timings() if timing.method == method]


def maps(folder: Path) -> dict[str, Affine]:
    origins = {path: intervention.read_origin(path) for path in (folder / "maps").glob("*.safe*")}
    return {
        origin.concept: intervention.load(path)
        for path, origin in origins.items()
        if origin and origin.method == "short"
    }


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of concepts that LinEAS was given together, in the order of its calls."""
    sizes: list[int] = []
    fit_many = Lineas.fit_many

    def counted(self: Lineas, model: Model, concepts: list[Concept], *, seed: int) -> list[Affine]:
        sizes.append(len(concepts))
        return fit_many(self, model, concepts, seed=seed)

    monkeypatch.setattr(Lineas, "fit_many", counted)
    return sizes


def test_concepts_are_fitted_in_groups_and_their_times_say_so(
    plan: Plan, groups: list[int], tmp_path: Path
) -> None:
    runner.run(plan, tmp_path / "run", FOUR)
    assert groups == [4, 2]
    assert together(tmp_path / "run") == [4, 4, 4, 4, 2, 2]
    assert together(tmp_path / "run", "mean-shift") == [1] * 6


def test_the_maps_are_those_of_concepts_that_are_fitted_one_by_one(
    plan: Plan, tmp_path: Path
) -> None:
    runner.run(plan, tmp_path / "run", FOUR)
    runner.run(plan, tmp_path / "alone", RunOptions(reuse=False))
    found, expected = maps(tmp_path / "run"), maps(tmp_path / "alone")
    assert len(found) == 6
    for concept, change in found.items():
        assert (change.maps - expected[concept].maps).abs().max() < 1e-3


def test_a_run_that_was_stopped_fits_the_groups_that_are_left(
    plan: Plan, groups: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_timing = Store.add_timing

    def stop_at_fifth(self: Store, *args: str, **more: int) -> None:
        fitted = [timing for timing in self.fit_timings() if timing.method == "short"]
        if args[1] == "short" and len(fitted) == 4:
            raise KeyboardInterrupt
        add_timing(self, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_timing", stop_at_fifth)
        with pytest.raises(KeyboardInterrupt):
            runner.run(plan, tmp_path / "run", FOUR)
    groups.clear()
    runner.run(plan, tmp_path / "run", FOUR)
    assert groups == [2]
    assert together(tmp_path / "run") == [4, 4, 4, 4, 2, 2]


def test_a_group_that_fails_is_fitted_one_by_one(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_many = Lineas.fit_many

    def little_memory(
        self: Lineas, model: Model, concepts: list[Concept], *, seed: int
    ) -> list[Affine]:
        if len(concepts) > 2:
            raise RuntimeError("not enough memory")
        return fit_many(self, model, concepts, seed=seed)

    monkeypatch.setattr(Lineas, "fit_many", little_memory)
    runner.run(plan, tmp_path / "run", FOUR)
    assert sorted(together(tmp_path / "run")) == [1, 1, 1, 1, 2, 2]
    with Store.read(tmp_path / "run") as store:
        assert store.pending_count() == 0


@pytest.mark.parametrize(
    ("sizes", "most"), [([4, 4, 4, 1, 1], 4), ([4, 4, 1, 1], 1), ([4, 4, 4, 4, 2, 2], 4)]
)
def test_times_of_other_numbers_of_concepts_are_not_mixed(
    sizes: list[int], most: int, tmp_path: Path
) -> None:
    with Store.open(tmp_path / "run") as store:
        for number, size in enumerate(sizes):
            store.add_timing("towards", "act", f"c{number}", float(size), "cpu", together=size)
        found = fit_times(store)["act"]
    assert found.together == most
    assert set(found.seconds) == {float(most)}

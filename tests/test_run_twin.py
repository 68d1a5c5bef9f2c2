"""A run on a tiny twin, from the command line's settings to the report."""

from pathlib import Path

import pytest
from tiny_twins import SIZE, save_pixart

from htbench import plan, report, runner
from htbench.errors import UsageError
from htbench.store import Store


def settings(folder: Path) -> dict[str, object]:
    return {
        "model": "nitro-1-pixart", "weights": str(folder), "model_options": [f"size={SIZE}", "dtype=float32"], "methods": ["prompt", "mean-shift"],
        "limit": 1, "prompts": 2, "strengths": [0, 1], "batch": 4, "scorers": ["emoji-clip-b"],
    }  # fmt: skip


def test_a_twin_is_run_scored_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_pixart(tmp_path / "twin")
    runner.run(plan.build(settings(tmp_path / "twin")), tmp_path / "run", plan.circumstances({"device": "cpu"}))
    with Store.read(tmp_path / "run") as store:
        model = store.facts()["model"]
    assert (model["timesteps"], model["size"]) == ("400", f"{SIZE} x {SIZE}")
    assert "Apache-2.0" in report.write(tmp_path / "run").read_text(encoding="utf-8")


def test_a_model_with_weights_of_its_own_offers_no_choice(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="offers no choice of 'weights'"):
        runner.run(plan.build({"weights": "random"}), tmp_path / "run", plan.circumstances({"device": "cpu"}))

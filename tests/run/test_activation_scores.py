"""Scores of activations: in runs, added later, continued, shown and exported."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from kit.toy import Toy
from typer.testing import CliRunner, Result

from htbench import report
from htbench.cli import app
from htbench.core import registry
from htbench.core.errors import Refused
from htbench.report import csv_tables
from htbench.run import activation_rows, finished, plan
from htbench.run.add_scores import add_scores
from htbench.run.fact_table import ActivationRowFacts, Facts
from htbench.run.plan import image_seed
from htbench.run.store import Store
from htbench.steering import concept, hooks, intervention
from htbench.steering.fitting import transport

RUN = [
    "run", "--model", "toy", "--method", "prompt", "--method", "mean-shift",
    "--method", "prompt-interp", "--prompts", "1", "--strength", "0.5,1", "--device", "cpu",
    "--limit", "3", "--name", "made", "--scorer", "emoji-clip-b",
]  # fmt: skip
ALL = ("activation-norm", "activation-transport", "activation-mahalanobis", "activation-sliced")
pytestmark = pytest.mark.usefixtures("toy_plugins")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*RUN, *words], catch_exceptions=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the toy with three concepts and one prompt."""
    from kit import toy_plugin

    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        toy_plugin.install(folder / "plugins", patch)
        patch.chdir(folder)
        assert run().exit_code == 0
    registry.plugins.cache_clear()
    return folder / "runs" / "made"


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(made, tmp_path / "runs" / "made"))


def row(folder: Path, name: str, method: str) -> ActivationRowFacts:
    with Store.read(folder) as store:
        (scores,) = [each for each in Facts.read(store).activation_scores if each.name == name]
    found = scores.row(method)
    assert found is not None
    return found


def traced(model: Toy, prompts: list[str], seeds: list[int], change=None) -> dict:
    values = hooks.activations(model, prompts, seeds, change=change)
    return {str(site): rows.double() for site, rows in values.items()}


def test_values_and_floors_are_those_of_the_model_s_activations(folder: Path) -> None:
    with Store.read(folder) as store:
        facts = Facts.read(store)
    assert add_scores(folder, ["activation-transport"]).methods == {"activation-transport": 3}
    model, concepts = Toy(), concept.load("emoji")
    prompts = list(concepts.prompts[:16])
    costs: dict[str, list[float]] = {"unsteered": [], "halves": [], "steered": []}
    for each in concepts.select("test")[:3]:
        seeds = [image_seed(prompt, 0) for prompt in prompts]
        name = plan.map_file(facts.methods["mean-shift"].digest, facts.model.revision, each)
        shift = intervention.load(folder / "maps" / name)
        plain = traced(model, prompts, seeds)
        tap = hooks.steer([shift] * 16, [1.0] * 16)
        steered = traced(model, prompts, seeds, lambda site, z, tap=tap: tap(site, z))
        targets = [each.target(prompt) for prompt in prompts]
        one, two = (
            traced(model, targets, [image_seed(prompt, part) for prompt in prompts])
            for part in (1, 2)
        )
        for site in plain:
            for label, own in (("unsteered", plain), ("steered", steered)):
                pairs = [(own[site], one[site]), (own[site], two[site])]
                costs[label] += [float(transport.wasserstein(*pair).mean()) for pair in pairs]
            costs["halves"].append(float(transport.wasserstein(one[site], two[site]).mean()))
    found = row(folder, "activation-transport", "mean-shift")
    assert found.value == pytest.approx(np.mean(costs["steered"]), rel=1e-5)
    assert found.unsteered == pytest.approx(np.mean(costs["unsteered"]), rel=1e-5)
    assert found.floor == pytest.approx(np.mean(costs["halves"]), rel=1e-5)
    assert set(found.sites) == {"tokens.norm", "maps.norm"}
    assert found.value == pytest.approx(np.mean([site[0] for site in found.sites.values()]))


def test_methods_come_nearer_to_the_targets_than_no_steering(folder: Path) -> None:
    add_scores(folder, ["activation-transport"])
    prompt, shift = (row(folder, "activation-transport", m) for m in ("prompt", "mean-shift"))
    assert shift.value < shift.unsteered
    assert prompt.value < prompt.unsteered


def test_a_prompt_that_is_mixed_only_below_full_strength_has_its_score(folder: Path) -> None:
    add_scores(folder, ["activation-norm"])
    mixed = row(folder, "activation-norm", "prompt-interp")
    assert mixed.value == pytest.approx(row(folder, "activation-norm", "prompt").value)


def test_mixed_prompts_have_no_score_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word if word != "0.5,1" else "0.5" for word in RUN]
    words += ["--scorer", "activation-norm"]
    answer = CliRunner().invoke(app, words, catch_exceptions=False)
    assert answer.exit_code == 0
    reason = row(tmp_path / "runs" / "made", "activation-norm", "prompt-interp").reason
    assert reason.startswith("its prompts are mixtures of several")


def test_a_run_scores_them_and_a_second_command_does_nothing(folder: Path) -> None:
    words = [word for name in ALL for word in ("--scorer", name)]
    answer = run(*words)
    assert answer.exit_code == 0
    assert "Steered activations beside target ones" in answer.stdout
    before = (folder / "run.sqlite").read_bytes()
    assert run(*words).exit_code == 0
    assert (folder / "run.sqlite").read_bytes() == before
    assert add_scores(folder, ["activation-norm"]).methods == {"activation-norm": 0}


def test_a_run_that_lacks_a_score_is_not_finished(folder: Path) -> None:
    settings = {"scorers": ["emoji-clip-b", "activation-norm"], "limit": 3}
    with Store.read(folder) as store:
        own = plan.resolve(plan.build(Facts.read(store).plan.stored, settings))
        assert not activation_rows.are_scored(own, store, ["activation-norm"])
    assert not finished.is_finished(own, folder, plan.RunOptions())
    add_scores(folder, ["activation-norm"])
    with Store.read(folder) as store:
        assert activation_rows.are_scored(own, store, ["activation-norm"])


def test_a_method_whose_intervention_is_gone_has_no_score_and_the_others_have(
    folder: Path,
) -> None:
    with Store.read(folder) as store:
        facts = Facts.read(store)
    chosen = concept.load("emoji").select("test")[0]
    name = plan.map_file(facts.methods["mean-shift"].digest, facts.model.revision, chosen)
    (folder / "maps" / name).unlink()
    add_scores(folder, ["activation-norm"])
    assert "an intervention is not there" in row(folder, "activation-norm", "mean-shift").reason
    assert not row(folder, "activation-norm", "prompt").reason


def test_activations_that_are_not_finite_are_named_with_their_site(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self, site, z, *, strength):
        return z * float("nan")

    monkeypatch.setattr("htbench.steering.intervention.Affine.apply", broken)
    add_scores(folder, ["activation-sliced"])
    reason = row(folder, "activation-sliced", "mean-shift").reason
    assert reason.startswith("steered activations hold NaN or infinity at site tokens.norm")


def test_another_model_than_that_of_the_run_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.toy.Toy.revision", "another")
    with pytest.raises(Refused, match="by the model of the run, toy"):
        add_scores(folder, ["activation-norm"])


def test_the_report_and_the_tables_have_every_site(folder: Path, tmp_path: Path) -> None:
    add_scores(folder, ["activation-norm", "activation-transport"])
    with report.open_run(folder) as summary:
        csv_tables.write(summary, tmp_path / "tables")
    with (tmp_path / "tables" / "activation_scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3 * 3
    found = row(folder, "activation-norm", "mean-shift")
    (own,) = [
        r
        for r in rows
        if (r["score"], r["method"], r["site"]) == ("activation-norm", "mean-shift", "all")
    ]
    assert float(own["value"]) == pytest.approx(found.value)
    answer = CliRunner().invoke(app, ["report", "made"], catch_exceptions=False)
    assert answer.exit_code == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Transport cost, best 0" in page
    assert "unsteered" in page

"""`htbench time --weights random`: published architectures with random weights, as tiny twins."""

from pathlib import Path

import pytest
from kit.tiny_twins import SIZE
from typer.testing import CliRunner

from htbench.cli import app
from htbench.core import registry
from htbench.models.published import adapter
from htbench.models.published.generators import GENERATORS
from htbench.models.published.preset import architecture
from htbench.run.store import Store
from htbench.run.timing.figures import Session


@pytest.mark.parametrize("name", ["dmd2", "nitro-1-pixart"])
@pytest.mark.usefixtures("tiny")
def test_a_model_is_timed_without_weights(name: str, tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(
        'name = "long"\nmethod = "lineas"\nsummary = "many steps"\n'
        "[settings]\nsteps = 1000\nsamples = 2\nbatch = 2\n"
    )
    words = [
        "--model",
        name,
        "--weights",
        "random",
        "--model-option",
        f"size={SIZE}",
        "--model-option",
        "dtype=float32",
        "--encoder",
        "emoji-clip-a",
    ]
    effort = [
        "--rounds",
        "3",
        "--minutes",
        "0",
        "--steps",
        "1",
        "--train-concepts",
        "2",
        "--train-steps",
        "1",
        "--device",
        "cpu",
        "--runs-dir",
        str(tmp_path),
    ]
    methods = ["--method", str(tmp_path / "long.toml"), "--method", "hypertransport"]
    answer = CliRunner().invoke(app, ["time", *words, *methods, *effort], catch_exceptions=False)
    assert answer.exit_code == 0
    with Store.read(tmp_path / f"time-{name}-random") as store:
        ((session, facts),) = store.facts()["timing"].items()
        paces = {pace.method: pace for pace in Session(store.samples(session), facts).method_times}
    assert facts["untimed"] == {}
    assert (paces["long"].scale, paces["hypertransport"].scale) == (1000, 1)
    assert paces["long"].phases["encode-prompts"].median > 0
    assert (facts["conditions"]["weights"], facts["forgets"]) == ("random", True)
    assert "measured over a part of its steps" in (
        tmp_path / f"time-{name}-random" / "report.html"
    ).read_text(encoding="utf-8")


@pytest.mark.usefixtures("tiny")
def test_without_weights_concepts_are_read_by_an_encoder_without_weights() -> None:
    for name, preset in GENERATORS.items():
        model = registry.load_model(name, "cpu", {"weights": "random", "size": str(SIZE)})
        assert model.concept_encoder == f"{preset.concept_encoder}-random"
        assert (
            registry.load("encoders", model.concept_encoder).architecture
            == registry.load("encoders", preset.concept_encoder).architecture
        )
        assert preset.sketch().concept_encoder == preset.concept_encoder


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("sdxl", [123, 695]),
        ("pixart-sigma", [4762]),
        ("flux", [123, 4762]),
        ("sana-sprint", [2614]),
        ("z-image", [4022]),
        ("qwen-image", [8292]),
        ("flux2-klein", [4022]),
    ],
)
def test_text_encoders_without_weights_are_as_large_as_the_published_ones(
    family: str, parameters: list[int]
) -> None:
    found = [
        adapter.random_text_encoder(config, adapter.torch.bfloat16, "meta")
        for config in architecture(family)["text_encoders"]
    ]
    assert [
        round(sum(weights.numel() for weights in encoder.parameters()) / 1e6)
        for encoder, _ in found
    ] == parameters
    assert architecture(family)["words"]["states"][0] == max(tokens for _, tokens in found)

"""`htbench time --weights random`: published architectures without what they learnt, here those of tiny twins."""

from pathlib import Path

import pytest
from test_diffusers import folders, own_cache  # noqa: F401
from tiny_twins import SIZE
from typer.testing import CliRunner

from htbench import registry
from htbench.amortisation import Session
from htbench.cli import app
from htbench.models import distilled
from htbench.models.preset import PRESETS, architecture
from htbench.store import Store

CLIP = {"tokens": 77, "vocab_size": 60, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
T5 = {"tokens": 30, "vocab_size": 60, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
TEXT = {
    "sdxl": [{"kind": "CLIPTextModel", **CLIP}, {"kind": "CLIPTextModelWithProjection", **CLIP}],
    "pixart-sigma": [{"kind": "T5EncoderModel", **T5}],
    "flux": [{"kind": "CLIPTextModel", **CLIP}, {"kind": "T5EncoderModel", **T5}],
}
WORDS = {"sdxl": {"states": [77, 32], "pooled": [16]}, "pixart-sigma": {"states": [30, 16]}, "flux": {"states": [30, 16], "pooled": [16]}}


@pytest.fixture
def tiny(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Architectures of the twins instead of the published ones."""

    def shrunk(family: str) -> dict[str, object]:
        saved = distilled._configs(folders[family], distilled.FAMILIES[family])
        return {**saved, "scheduler": architecture(family)["scheduler"], "words": WORDS[family], "text_encoders": TEXT[family]}

    monkeypatch.setattr(distilled, "architecture", shrunk)


@pytest.mark.parametrize("name", ["dmd2", "nitro-1-pixart"])
@pytest.mark.usefixtures("tiny")
def test_a_model_is_timed_without_weights(name: str, tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text('name = "long"\nmethod = "lineas"\nsummary = "many steps"\n[settings]\nsteps = 1000\nsamples = 2\nbatch = 2\n')
    words = ["--model", name, "--weights", "random", "--model-option", f"size={SIZE}", "--model-option", "dtype=float32", "--encoder", "emoji-clip-a"]
    effort = ["--rounds", "3", "--minutes", "0", "--steps", "1", "--train-concepts", "2", "--train-steps", "1", "--device", "cpu", "--out", str(tmp_path)]
    methods = ["--method", str(tmp_path / "long.toml"), "--method", "hypertransport"]
    answer = CliRunner().invoke(app, ["time", *words, *methods, *effort], catch_exceptions=False)
    assert answer.exit_code == 0
    with Store.read(tmp_path / f"time-{name}-random") as store:
        ((session, facts),) = store.facts()["timing"].items()
        paces = {pace.method: pace for pace in Session(store.samples(session), facts).paces}
    assert facts["untimed"] == {}
    assert (paces["long"].scale, paces["hypertransport"].scale) == (1000, 1)
    assert paces["long"].phases["encode-prompts"].median > 0
    assert (facts["conditions"]["weights"], facts["forgets"]) == ("random", True)
    assert "measured over a part of its steps" in (tmp_path / f"time-{name}-random" / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("tiny")
def test_without_weights_concepts_are_read_by_an_encoder_without_weights() -> None:
    for name, preset in PRESETS.items():
        model = registry.model(name, "cpu", {"weights": "random", "size": str(SIZE)})
        assert model.conditioner == f"{preset.conditioner}-random"
        assert registry.load("encoders", model.conditioner).architecture == registry.load("encoders", preset.conditioner).architecture
        assert preset.sketch().conditioner == preset.conditioner


@pytest.mark.parametrize(("family", "parameters"), [("sdxl", [123, 695]), ("pixart-sigma", [4762]), ("flux", [123, 4762])])
def test_text_encoders_without_weights_are_as_large_as_the_published_ones(family: str, parameters: list[int]) -> None:
    found = [distilled.text_encoder(config, distilled.torch.bfloat16, "meta") for config in architecture(family)["text_encoders"]]
    assert [round(sum(weights.numel() for weights in encoder.parameters()) / 1e6) for encoder, _ in found] == parameters
    assert architecture(family)["words"]["states"][0] == max(tokens for _, tokens in found)

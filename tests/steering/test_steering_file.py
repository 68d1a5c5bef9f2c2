"""Files of trained steerings: bound to their training, and read within the model's shapes."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kit.toy import Toy
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from htbench.core.errors import HtbenchError, Refused
from htbench.methods.hypertransport import HyperTransport
from htbench.steering.concept import Concept
from htbench.steering.fitting.hypernetwork import HypernetworkConfig, TrainedHypernetwork
from htbench.steering.training import training_digest

METHOD = HyperTransport(steps=1, targets=2, images=2, concepts=2, width=8, rank=2)
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def concepts() -> list[Concept]:
    return [
        Concept(id=word, kind="k", text=word, template="{prompt} " + word, sources=("cat", "dog"))
        for word in ("lemon", "fog", "snow")
    ]


@pytest.fixture(scope="module")
def trained(concepts: list[Concept], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "steering"
    METHOD.train(Toy(), concepts, seed=0).save(path)
    return path


def load(path: Path) -> TrainedHypernetwork:
    return HypernetworkConfig().load(Toy(), path, seed=0)


def edited(source: Path, path: Path, edit: Callable[[dict[str, Any], Tensors], object]) -> Path:
    with safe_open(source, framework="pt") as file:
        record = json.loads(file.metadata()["steering"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    edit(record, tensors)
    save_file(tensors, path, metadata={"steering": json.dumps(record)})
    return path


def forge(record: dict[str, Any], _: Tensors) -> None:
    record["training"]["concepts"].pop()


def test_a_file_tells_the_concepts_that_it_was_trained_on(
    trained: Path, concepts: list[Concept]
) -> None:
    training = load(trained).training
    assert training.concepts == ("lemon", "fog", "snow")
    assert training.concepts_digest == training_digest(concepts)
    assert not training.unverified


def test_the_same_training_writes_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    load(trained).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == trained.read_bytes()


def test_a_list_from_which_a_concept_was_taken_is_unverified(trained: Path, tmp_path: Path) -> None:
    path = edited(
        trained, tmp_path / "forged", lambda record, _: record["training"]["concepts"].pop()
    )
    assert load(path).training.unverified == "its record was changed after the training"


def test_saving_a_forged_file_again_does_not_verify_it(trained: Path, tmp_path: Path) -> None:
    path = edited(
        trained, tmp_path / "forged", lambda record, _: record["training"]["concepts"].pop()
    )
    load(path).save(tmp_path / "again")
    assert load(tmp_path / "again").training.unverified


def test_a_file_of_version_0_1_0_is_unverified(trained: Path, tmp_path: Path) -> None:
    def age(record: dict[str, Any], _: Tensors) -> None:
        del record["tensors"], record["digest"]
        del record["training"]["concepts_digest"], record["training"]["unverified"]

    assert "older" in load(edited(trained, tmp_path / "old", age)).training.unverified


DAMAGES: dict[str, Callable[[dict[str, Any], Tensors], object]] = {
    "rank": lambda record, _: record["settings"].update(rank=10**9),
    "width": lambda record, _: record["settings"].update(width=-1),
    "digits": lambda record, _: record["settings"].update(rank=10**300),
    "site": lambda record, _: record["sites"].update({"os.system": 6}),
    "no encoder": lambda record, _: record["training"].update(encoders=[]),
    "a field": lambda record, _: record.update(module="os"),
    "a kind": lambda record, _: record.update(training="os:system"),
    "seconds": lambda record, _: record["training"].update(seconds=-1),
    "NaN": lambda _, tensors: tensors["site"].fill_(torch.nan),
    "infinity": lambda _, tensors: tensors["site"].fill_(torch.inf),
    "a number": lambda _, tensors: tensors["site"].add_(1),
    "a shape": lambda _, tensors: tensors.update(site=torch.zeros(1, 8)),
    "a format": lambda _, tensors: tensors.update(site=torch.zeros(2, 8, dtype=torch.int64)),
    "too few": lambda _, tensors: tensors.pop("site"),
    "too many": lambda _, tensors: tensors.update(more=torch.zeros(1)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_told_in_one_line(damage: str, trained: Path, tmp_path: Path) -> None:
    path = edited(trained, tmp_path / "damaged", DAMAGES[damage])
    with pytest.raises(Refused) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def _announcing_terabytes() -> bytes:
    tensor = {"dtype": "F32", "shape": [1 << 20, 1 << 20], "data_offsets": [0, 1 << 42]}
    header = json.dumps({"site": tensor, "__metadata__": {"steering": "{}"}}).encode()
    return struct.pack("<Q", len(header)) + header


BYTES = {
    "empty": b"",
    "a long header": struct.pack("<Q", 1 << 60) + b"{}",
    "terabytes": _announcing_terabytes(),
    "a pickle": b"\x80\x04cos\nsystem\n",
    "text": b"hello",
}


@pytest.mark.parametrize("name", BYTES)
def test_a_file_of_another_kind_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BYTES[name])
    with pytest.raises(Refused, match="cannot be read") as caught:
        load(tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_a_folder_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(HtbenchError, match="is a folder"):
        load(tmp_path)

"""Files of trained steerings: tensors with one record, bound to each other by digests.

A file is safetensors. Its metadata hold the record as JSON, with the digest of the tensors and one
of the record. Nothing in a file names code: the kind of a record is fixed by the method that reads
it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, ClassVar, Generic, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from htbench.core import reading
from htbench.core.errors import Refused
from htbench.core.types import Site
from htbench.steering import record_digest
from htbench.steering.model import Model
from htbench.steering.training import Training

MAX_WIDTH = 4096
"""The most units of a layer, and the most directions, of a network."""
_MAX_TENSORS = 100_000
_DTYPES = {"F64", "F32", "F16", "BF16"}
Text = Annotated[str, Field(max_length=1000)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Strict(BaseModel):
    """A part of a record: frozen, without unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainingRecord(Strict):
    """A `Training`, as a file has it."""

    seconds: Seconds
    device: Text
    concepts: Annotated[tuple[Text, ...], Field(max_length=_MAX_TENSORS)]
    encoders: Annotated[tuple[Text, ...], Field(max_length=100)]
    concepts_digest: Text = ""
    unverified: Text = ""


class SteeringRecord(Strict):
    """The part of a record that all kinds of steerings have."""

    key: ClassVar[str]
    """Name of the record in the metadata."""
    model: tuple[Text, Text]
    """Name and revision."""
    encoder: Text
    """Revision of the encoder of concepts."""
    training: TrainingRecord
    tensors: Text = ""
    """Digest of the tensors; empty in files of version 0.1.0."""
    digest: Text = ""
    """Digest of all else in the record; empty in files of version 0.1.0."""


Record = TypeVar("Record", bound=SteeringRecord)


@dataclass(frozen=True, kw_only=True)
class SteeringFile(Generic[Record]):
    """The record of a file, and its tensors, which are not in memory yet."""

    path: Path
    noun: str
    record: Record
    shapes: Mapping[str, tuple[int, ...]]
    unverified: str
    """Reason why the list of training concepts is not known to be that of the training; empty: the
    list has the digest that was written with it."""

    @property
    def training(self) -> Training:
        """The training, as the record has it."""
        fields = {**self.record.training.model_dump(), "unverified": self.unverified}
        return Training(**fields)

    @property
    def encoder(self) -> str:
        """Name of the encoder of concepts."""
        if not self.record.training.encoders:
            raise self._refuse("it names no encoder")
        return self.record.training.encoders[0]

    def channels(self, sites: Iterable[str], model: Model) -> dict[Site, int]:
        """The number of channels of each of these sites of the model.

        Raises:
            Refused: for a site that the model does not have.
        """
        for site in sites:
            if site not in model.sites:
                raise self._refuse(f"{model.name} has no site {site[:200]!r}")
        return {Site(site): model.sites[Site(site)].channels for site in sites}

    def tensors(self, expected: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """The tensors, which must have these names and shapes, and finite numbers.

        Raises:
            Refused: for the first that does not, and where they do not have their digest. Nothing
                is read before all shapes are compared.
        """
        for name in (*expected, *self.shapes):
            if name not in self.shapes or name not in expected:
                lack = "lacks" if name in expected else "has an unknown"
                raise self._refuse(f"it {lack} tensor {name[:200]!r}")
            if self.shapes[name] != expected[name]:
                raise self._refuse(
                    f"tensor {name[:200]!r} is of shape {self.shapes[name]}, not {expected[name]}"
                )
        with self.path.open("rb") as data:
            if self.record.tensors and record_digest.digest_of_tensors(data) != self.record.tensors:
                raise self._refuse("its tensors do not have their digest")
        with safe_open(self.path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in expected}
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise self._refuse(f"tensor {name[:200]!r} has NaN or infinity")
        return tensors

    def tables(self, name: str, count: int) -> list[tuple[int, int]]:
        """Shapes of the tensors `name_0` to `name_{count - 1}`; empty if there is none of them.

        Raises:
            Refused: if they are not tables of as many columns each.
        """
        shapes = [self.shapes.get(f"{name}_{k}", ()) for k in range(count)]
        if not any(shapes):
            return []
        columns = shapes[0][-1] if shapes[0] else 0
        if not 0 < columns <= MAX_WIDTH or any(each[1:] != (columns,) for each in shapes):
            raise self._refuse(f"its tables {name!r} do not match")
        return [(each[0], columns) for each in shapes]

    def _refuse(self, problem: str) -> Refused:
        return _refusal(self.path, self.noun, problem)


def halve(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in half precision if it holds all of their numbers, else as they are."""
    halved = {name: tensor.half() for name, tensor in tensors.items()}
    is_exact = all(torch.equal(own.float(), tensors[name]) for name, own in halved.items())
    return halved if is_exact else dict(tensors)


def write(path: Path, tensors: Mapping[str, Tensor], record: SteeringRecord) -> None:
    """Write a steering with its record, and the digests of both."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    digest = record_digest.digest_of_tensors(BytesIO(serialise(on_cpu)))
    values = record.model_copy(update={"tensors": digest}).model_dump(mode="json")
    text = json.dumps({**values, "digest": record_digest.digest(values)})
    # one entry, since the order of several changes from file to file
    path.write_bytes(serialise(on_cpu, metadata={record.key: text}))


def read(path: Path, kind: type[Record], *, noun: str = "steering") -> SteeringFile[Record]:
    """The record of the file at `path`, without its tensors.

    A record that was changed after it was written is read, and said to be `unverified`.

    Raises:
        Missing: if there is no such file.
        Refused: if it is damaged, or of another kind.
    """
    reading.find_file(path, noun=noun)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            if len(slices) > _MAX_TENSORS:
                raise ValueError(f"{len(slices):,} tensors")
            dtypes = {name: part.get_dtype() for name, part in slices.items()}
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
        for name, dtype in dtypes.items():
            if dtype not in _DTYPES:
                raise ValueError(f"tensor {name[:200]!r} is of {dtype}, not of floating point")
        if kind.key not in metadata:
            raise ValueError(f"its metadata have no {kind.key!r}")
        values = reading.parse_json(metadata[kind.key])
        record = kind.model_validate(values)
        unverified = record.training.unverified or record_digest.why_unverified(values)
    except ValidationError as error:
        raise _refusal(path, noun, reading.first_problem(error)) from None
    except (SafetensorError, OSError, ValueError) as error:
        raise _refusal(path, noun, " ".join(str(error).split())[:300]) from None
    return SteeringFile(path=path, noun=noun, record=record, shapes=shapes, unverified=unverified)


def record_of(training: Training) -> TrainingRecord:
    """A training, as a file has it."""
    return TrainingRecord.model_validate(asdict(training))


def _refusal(path: Path, noun: str, problem: str) -> Refused:
    return Refused(
        f"{noun} {str(path)[:300]!r} cannot be read: {problem}",
        remedy="Restore the file, or delete it to train anew.",
    )

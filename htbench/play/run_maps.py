"""The interventions that a run learnt, as concepts of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.core.errors import UsageError
from htbench.core.types import UNSTEERED, Digest
from htbench.run.fact_table import Facts
from htbench.run.plan import map_file_of
from htbench.run.store import Store
from htbench.steering import intervention
from htbench.steering.intervention import Intervention
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class RunMaps:
    """The files of a run's interventions by method and by the words of the concept."""

    run: str
    """The run's name, or that of its bundle."""
    model: str
    revision: str
    concept_set: str
    cards: Mapping[str, str]
    """Names or paths of the methods' cards, by method."""
    files: Mapping[tuple[str, str], Path]

    @property
    def concepts(self) -> Sequence[str]:
        """The words of the concepts, in the run's order."""
        return list(dict.fromkeys(words for _, words in self.files))

    def check_model(self, model: Model) -> None:
        """Refuse another model than that of the run.

        Raises:
            UsageError: with both models.
        """
        if (model.name, model.revision) != (self.model, self.revision):
            raise UsageError(
                f"run {self.run!r} is of model {self.model!r} ({self.revision}), and this is "
                f"{model.name!r} ({model.revision})",
                remedy="Give the run's model with --model and --weights.",
            )

    def load(self, method: str, words: str, model: Model) -> tuple[Intervention, float]:
        """The intervention, and the seconds in which the run learnt it.

        Raises:
            UsageError: if the run has none of this method for these words.
            Refused: if its file is damaged.
        """
        path = self.files.get((method, words))
        if path is None:
            raise UsageError(f"run {self.run!r} learnt no such concept")
        origin = intervention.read_origin(path)
        return intervention.load(path, model=model), origin.seconds if origin else 0.0


def read(folder: Path, *, name: str) -> RunMaps:
    """The interventions of the run in `folder`, whose concepts are in words.

    Raises:
        UsageError: if it has none.
    """
    with Store.read(folder) as store:
        facts = Facts.read(store)
    files = {
        (method, concept.text): path
        for method, own in facts.methods.items()
        if method != UNSTEERED
        for concept in facts.concepts.values()
        if concept.text
        and (path := _path(folder, own.digest, facts.model.revision, concept.digest)).is_file()
    }
    if not files:
        raise UsageError(
            f"run {name[:200]!r} has no interventions towards concepts in words",
            remedy="Choose a run whose pictures htbench made.",
        )
    methods = dict.fromkeys(method for method, _ in files)
    return RunMaps(
        run=name,
        model=facts.model.name,
        revision=facts.model.revision,
        concept_set=facts.plan.concept_set,
        cards={method: facts.methods[method].given or method for method in methods},
        files=files,
    )


def _path(folder: Path, method: str, model: str, concept: str) -> Path:
    return folder / "maps" / map_file_of(Digest(method), Digest(model), Digest(concept))

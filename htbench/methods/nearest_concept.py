"""A control: the map of the training concept whose embedding is nearest to the wanted one's, by cosine."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.steering.fitting.map_bank import FromBank


@dataclass(frozen=True, kw_only=True)
class NearestConcept(FromBank):
    """Looks a map up."""

    def weights(self, known: Float[Tensor, "concepts features"], wanted: Float[Tensor, " features"]) -> Float[Tensor, " concepts"]:
        likeness = torch.nn.functional.cosine_similarity(known, wanted[None])
        return torch.nn.functional.one_hot(likeness.argmax(), len(known)).to(known)

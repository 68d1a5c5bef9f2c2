"""A control: the map of the training concept whose embedding is nearest to the wanted one's, by cosine."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.steering.fitting.map_bank import MapBankMethod


@dataclass(frozen=True, kw_only=True)
class NearestConcept(MapBankMethod):
    """Looks a map up."""

    def weights(
        self,
        bank_embeddings: Float[Tensor, "concepts features"],
        embedding: Float[Tensor, " features"],
    ) -> Float[Tensor, " concepts"]:
        likeness = torch.nn.functional.cosine_similarity(bank_embeddings, embedding[None])
        return torch.nn.functional.one_hot(likeness.argmax(), len(bank_embeddings)).to(
            bank_embeddings
        )

"""A control: the map of the training concept with the nearest embedding, by cosine."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.steering.fitting.map_bank import MapBankMethod


@dataclass(frozen=True, kw_only=True)
class NearestConcept(MapBankMethod):
    """Weight 1 for the nearest training concept, 0 for the others."""

    def weights(
        self,
        bank_embeddings: Float[Tensor, "concepts features"],
        embedding: Float[Tensor, " features"],
    ) -> Float[Tensor, " concepts"]:
        cosines = torch.nn.functional.cosine_similarity(bank_embeddings, embedding[None])
        one_hot = torch.nn.functional.one_hot(cosines.argmax(), len(bank_embeddings))
        return one_hot.to(bank_embeddings)

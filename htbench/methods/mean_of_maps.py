"""A control: the mean of the maps of all training concepts, the same for every concept."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from htbench.steering.encoder import Condition
from htbench.steering.fitting.map_bank import MapBankMethod


@dataclass(frozen=True, kw_only=True)
class MeanOfMaps(MapBankMethod):
    """Equal weights; the new concept is not embedded."""

    condition: Condition | Literal["nothing"] = "nothing"

    def weights(
        self,
        bank_embeddings: Float[Tensor, "concepts features"],
        embedding: Float[Tensor, " features"],
    ) -> Float[Tensor, " concepts"]:
        return bank_embeddings.new_full((len(bank_embeddings),), 1 / len(bank_embeddings))

"""A control: the mean of the maps of all training concepts, whatever is wanted."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from htbench.steering.encoder import Condition
from htbench.steering.fitting.map_bank import FromBank


@dataclass(frozen=True, kw_only=True)
class MeanOfMaps(FromBank):
    """Does not read the concept."""

    condition: Condition | Literal["nothing"] = "nothing"

    def weights(self, known: Float[Tensor, "concepts features"], wanted: Float[Tensor, " features"]) -> Float[Tensor, " concepts"]:
        return known.new_full((len(known),), 1 / len(known))

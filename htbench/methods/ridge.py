r"""A control: ridge regression from a concept's embedding to its map.

With embeddings `E` of `k` training concepts around their mean `m`, the prediction for an embedding
`e` is the sum of the training concepts' maps weighted by

.. math::
    1/k + (E E^\top + \lambda I)^{-1} E (e - m), \quad
    \lambda = \text{ridge} \cdot \mathrm{tr}(E E^\top) / k

which is least squares with an intercept and a penalty on the slopes.

References:
    Hoerl and Kennard. Ridge Regression: Biased Estimation for Nonorthogonal Problems. 1970.
    https://doi.org/10.1080/00401706.1970.10488634
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.steering.fitting.map_bank import MapBankMethod


@dataclass(frozen=True, kw_only=True)
class RidgeRegression(MapBankMethod):
    """Weights of the maps from a ridge regression."""

    ridge: float = 0.1
    """The penalty, as a share of the mean squared length of a centred embedding."""

    def weights(
        self,
        bank_embeddings: Float[Tensor, "concepts features"],
        embedding: Float[Tensor, " features"],
    ) -> Float[Tensor, " concepts"]:
        centre = bank_embeddings.double().mean(0)
        centred = bank_embeddings.double() - centre
        products = centred @ centred.T
        identity = torch.eye(len(bank_embeddings), dtype=products.dtype)
        penalty = self.ridge * products.diagonal().mean().clamp_min(1e-12) * identity
        correlations = centred @ (embedding.double() - centre)
        slopes: Tensor = torch.linalg.solve(products + penalty, correlations)
        return slopes.add(1 / len(bank_embeddings)).float()

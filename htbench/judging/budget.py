"""Limits to the number and cost of calls; costs are computed from a user's table of prices."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from htbench.core import content
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.judging.meter import Meter, ModelUsage, Usage

_MAX_PRICE = 1e9
"""The highest price per million tokens that is no slip of the pen."""


class Price(BaseModel):
    """The price of a model per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    input: float = Field(ge=0, le=_MAX_PRICE)
    output: float = Field(ge=0, le=_MAX_PRICE)
    cached: float | None = Field(default=None, ge=0, le=_MAX_PRICE)
    """The price of cached input; None: the same as `input`."""
    batch: float = Field(default=1.0, ge=0, le=_MAX_PRICE)
    """The price of calls in batches, as a share of the others."""

    def cost(self, usage: Usage) -> float:
        """The cost of tokens."""
        cached = self.input if self.cached is None else self.cached
        return (
            (usage.asked - usage.cached) * self.input
            + usage.cached * cached
            + usage.replied * self.output
        ) / 1e6

    def total_cost(self, usage: ModelUsage) -> float:
        """The cost of all calls; open batches cost as much as they can."""
        batches = (1 - self.batch) * self.cost(usage.batch_usage)
        return self.cost(usage.usage) - batches + self.batch * self.cost(usage.open_usage)


class Prices(BaseModel):
    """A user's table of prices, `prices.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    date: date
    """The day on which the prices were looked up."""
    currency: str = "USD"
    models: dict[str, Price]

    def price(self, model: str) -> Price:
        """The price of a model.

        Raises:
            UnknownName: if the table does not have it, with the nearest model.
        """
        if model not in self.models:
            raise UnknownName(
                "price of model", model, self.models, remedy="Add it to the table of prices."
            )
        return self.models[model]


def read_prices(path: Path) -> Prices:
    """The table of prices in a TOML file."""
    try:
        return content.read_card(path, Prices)
    except FileNotFoundError:
        raise Missing(
            f"no table of prices {str(path)!r}", remedy="See docs/judging.md for what it holds."
        ) from None
    except content.InvalidCard as error:
        raise UsageError(
            f"table of prices {str(path)!r} is not valid: {error}", remedy="See docs/judging.md."
        ) from None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits to the requests to a model in a run, earlier commands included; None: no limit."""

    requests: int | None = None
    cost: float | None = None

    def meter(self) -> Meter:
        """A meter with these limits."""
        return Meter(requests=self.requests, cost=self.cost)

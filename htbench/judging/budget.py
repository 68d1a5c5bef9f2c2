"""Limits to the number and cost of calls; costs are computed from a user's table of prices."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from htbench.core import content
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.judging.meter import Meter, Price


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


def price_of(model: str, prices: Path | None, limit: "Budget") -> Price | None:
    """The price of a model by a user's table; None without a table.

    Raises:
        UsageError: if the cost is limited and there is no table.
    """
    if prices:
        return read_prices(prices).price(model)
    if limit.cost is not None:
        raise UsageError(
            "--max-cost needs the price of tokens",
            remedy="Give your table of prices with --prices.",
        )
    return None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits to the requests to a model in a run, earlier commands included; None: no limit."""

    requests: int | None = None
    cost: float | None = None

    def meter(self) -> Meter:
        """A meter with these limits."""
        return Meter(requests=self.requests, cost=self.cost)

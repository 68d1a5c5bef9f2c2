"""What asking costs and when to stop: tokens always, money only by a table of prices that the user gives."""

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.judging.judge import Usage
from htbench.judging.ledger import ModelUsage


class Price(BaseModel):
    """What a model costs, for a million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(default=None, ge=0)
    """For input that the endpoint had at hand; None: as other input."""
    batch: float = Field(default=1.0, ge=0)
    """What a batch costs as a share of this."""

    def cost(self, usage: Usage) -> float:
        """The cost of tokens."""
        cached = self.input if self.cached is None else self.cached
        return (
            (usage.asked - usage.cached) * self.input
            + usage.cached * cached
            + usage.replied * self.output
        ) / 1e6

    def total_cost(self, usage: ModelUsage) -> float:
        """The cost of all that was asked."""
        return self.cost(usage.usage) - (1 - self.batch) * self.cost(usage.batch_usage)


class Prices(BaseModel):
    """A user's table of prices, `prices.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    date: date
    """When the prices were looked up."""
    currency: str = "USD"
    models: dict[str, Price]

    def price(self, model: str) -> Price:
        """The price of a model.

        Raises:
            UnknownName: if the table does not have it, with the nearest that it has.
        """
        if model not in self.models:
            raise UnknownName(
                "price of model", model, self.models, remedy="Add it to the table of prices."
            )
        return self.models[model]


def read_prices(path: Path) -> Prices:
    """The table of prices in a TOML file."""
    try:
        return Prices.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise Missing(
            f"no table of prices {str(path)!r}", remedy="See docs/judging.md for what it holds."
        ) from None
    except (ValidationError, ValueError, OSError) as error:
        raise UsageError(
            f"table of prices {str(path)!r} is not valid: {' '.join(str(error).split())[:200]}",
            remedy="See docs/judging.md.",
        ) from None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits to what a model is asked in a run, by this command and those before it together; None: no limit."""

    requests: int | None = None
    cost: float | None = None
    price: Price | None = None

    def allows_call(self, usage: ModelUsage, *, in_flight: int) -> bool:
        """Whether one more call may be made while `in_flight` are under way, which are taken to cost what calls cost so far."""
        if self.requests is not None and usage.calls + in_flight >= self.requests:
            return False
        if self.cost is None or self.price is None:
            return True
        so_far = self.price.total_cost(usage)
        return so_far + in_flight * so_far / max(1, usage.calls) < self.cost

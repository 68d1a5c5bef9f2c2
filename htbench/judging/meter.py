"""The meter of a model's requests and their cost: asked before each request goes out."""

from dataclasses import dataclass, field, replace

from pydantic import BaseModel, ConfigDict, Field

_MAX_PRICE = 1e9
"""The highest price per million tokens that is no slip of the pen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens that an endpoint charges for."""

    asked: int = 0
    cached: int = 0
    """The part of `asked` that the endpoint had at hand."""
    replied: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            asked=self.asked + other.asked,
            cached=self.cached + other.cached,
            replied=self.replied + other.replied,
        )


NO_USAGE = Usage()


@dataclass(frozen=True, kw_only=True)
class ModelUsage:
    """The calls, requests and tokens of a model so far."""

    calls: int = 0
    """Number of calls that had a reply or may have been charged for."""
    requests: int = 0
    """Number of requests that went out, those of open batches and all retries included."""
    usage: Usage = NO_USAGE
    batch_usage: Usage = NO_USAGE
    """The part of `usage` that went through batches."""
    open_usage: Usage = NO_USAGE
    """The most tokens that the open batches can take; not a part of `usage`."""


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


@dataclass(kw_only=True)
class Meter:
    """Limits to the requests to a model and to their cost, those of earlier commands included.

    A request in flight is taken to cost as much as it can. So at most one request goes over the
    limit of cost, and none over the limit of requests.
    """

    requests: int | None = None
    """None: no limit; likewise `cost`."""
    cost: float | None = None
    price: Price | None = None
    _spent: ModelUsage = field(default_factory=ModelUsage)
    _in_flight: Usage = NO_USAGE

    def start(self, spent: ModelUsage) -> None:
        """Count from what earlier commands spent, with nothing in flight."""
        self._spent, self._in_flight = spent, Usage()

    @property
    def has_room(self) -> bool:
        """True if one more request may go out now."""
        return not self.is_spent and (
            self.cost is None or self._cost_so_far(with_in_flight=True) < self.cost
        )

    @property
    def is_spent(self) -> bool:
        """True if no request may go out, whatever becomes of those in flight."""
        if self.requests is not None and self._spent.requests >= self.requests:
            return True
        return self.cost is not None and self._cost_so_far(with_in_flight=False) >= self.cost

    def reserve(self, worst: Usage, *, batch: bool = False) -> bool:
        """Count a request that goes out now and takes at most `worst`; False if there is no room.

        A request of a batch stays in flight for the rest of the command.
        """
        if not self.has_room:
            return False
        spent = replace(self._spent, requests=self._spent.requests + 1)
        if batch:
            self._spent = replace(spent, open_usage=spent.open_usage + worst)
        else:
            self._spent, self._in_flight = spent, self._in_flight + worst
        return True

    def settle(self, worst: Usage, charged: Usage, *, sent: bool = True) -> None:
        """Replace what was reserved for a request by what it is charged; `sent`: it did go out."""
        less = Usage(asked=-worst.asked, cached=-worst.cached, replied=-worst.replied)
        self._in_flight = self._in_flight + less
        self._spent = replace(
            self._spent,
            usage=self._spent.usage + charged,
            requests=self._spent.requests - (not sent),
        )

    def _cost_so_far(self, *, with_in_flight: bool) -> float:
        if self.price is None:
            return 0.0
        in_flight = self.price.cost(self._in_flight) if with_in_flight else 0.0
        return self.price.total_cost(self._spent) + in_flight

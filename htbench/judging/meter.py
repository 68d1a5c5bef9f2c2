"""The meter of a model's requests and their cost: asked before each request goes out."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from htbench.judging.budget import Price


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


@dataclass(kw_only=True)
class Meter:
    """Limits to the requests to a model and to their cost, those of earlier commands included.

    A request in flight is taken to cost as much as it can. So at most one request goes over the
    limit of cost, and none over the limit of requests.
    """

    requests: int | None = None
    """None: no limit; likewise `cost`."""
    cost: float | None = None
    price: "Price | None" = None
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

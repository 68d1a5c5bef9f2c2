"""The cells of a plan in a store, as a run plans them."""

from collections.abc import Sequence

from htbench.core import content
from htbench.run import plan
from htbench.run.plan import Plan
from htbench.run.store import Store
from htbench.steering.concept import Concept


def plan_cells(
    store: Store, settings: Plan, concepts: Sequence[Concept], prompts: Sequence[str], *, model: str
) -> None:
    """Plan every cell; its key is of the names of the model and the method, in place of digests."""
    rows = [
        (
            cell.method,
            cell.concept.id,
            cell.prompt,
            cell.seed,
            cell.strength,
            plan.image_key(
                cell,
                model=content.digest(model),
                method_digest=content.digest(cell.method),
                batch=settings.batch,
            ),
        )
        for cell in plan.cells(settings, concepts, prompts)
    ]
    store.plan_cells(rows, grid=content.digest("grid"))

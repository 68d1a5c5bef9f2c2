"""A small run of colours at several strengths, to ask people which is stronger."""

from pathlib import Path

from htbench.run import plan
from htbench.run.store import GeneratedImage, Store
from htbench.steering.concept import Concept
from kit import judged_run
from kit.judge_servers import COLOURS
from kit.planned_cells import plan_cells

STRENGTHS = (0.25, 0.5, 0.75, 1.0)


def build(
    folder: Path, *, methods: tuple[str, ...] = ("none", "good", "poor"), concepts: int = 8
) -> Path:
    """A finished run; the unsteered picture is each method's at strength 0."""
    colours = [
        Concept(
            id=f"colour/{name}", kind="colour", text=f"in {name}", template=f"{{prompt}} in {name}"
        )
        for name in list(COLOURS)[:concepts]
    ]
    settings = plan.build({"methods": methods, "strengths": STRENGTHS, "prompts": 1, "batch": 1})
    with Store.open(folder) as store:
        store.set_facts(
            scorer={"name": "emoji-clip-b", "id": "emoji-clip-b@1"},
            concepts={concept.id: {"text": concept.text, "kind": "colour"} for concept in colours},
            methods={method: {"training": {"encoders": []}} for method in methods},
        )
        plan_cells(store, settings, colours, judged_run.PROMPTS[:1], model="m")
        images = {row.image: judged_run.picture(row, noise=0.0) for row in store.rows()}
        made = [GeneratedImage(key=key, png=png) for key, png in images.items()]
        store.add_images(made, seconds=0.1, batch=1)
    return folder

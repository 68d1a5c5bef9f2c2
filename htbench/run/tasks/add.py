"""The task `add`: neutral prompts, and methods that steer towards the concept."""

from collections.abc import Sequence

from htbench.run.tasks.task import Task, TaskPrompt
from htbench.steering.concept import Concept, ConceptSet


def _prompts(
    concept: Concept, neutral: Sequence[str], concept_set: ConceptSet
) -> tuple[TaskPrompt, ...]:
    return tuple(
        TaskPrompt(text=prompt, neutral=prompt, part="", asked=concept) for prompt in neutral
    )


ADD = Task(
    name="add",
    verb="adds the concept",
    about="Methods add the concept to images of neutral prompts.",
    direction=1.0,
    make_prompts=_prompts,
    parts={},
)

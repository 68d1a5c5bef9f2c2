"""All tasks of a run keep to what the runner and the report take for granted."""

import pytest

from htbench.run.summary import METRICS
from htbench.run.tasks import TASKS
from htbench.run.tasks.task import Task
from htbench.steering import concept

EVERY = pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))


@EVERY
def test_each_prompt_has_a_part_of_the_task_and_a_text_of_its_own(task: Task) -> None:
    emoji = concept.load("emoji")
    neutral = emoji.prompts[:3]
    for each in task.make_concepts(emoji.select("test")[:12], emoji):
        prompts = task.make_prompts(each, neutral, emoji)
        assert {prompt.part for prompt in prompts} <= (task.parts.keys() or {""})
        assert {prompt.neutral for prompt in prompts} == set(neutral)
        assert len({prompt.text for prompt in prompts}) == len(prompts)


@EVERY
def test_each_measure_is_of_a_score_and_of_parts_that_there_are(task: Task) -> None:
    scores = {*METRICS, *task.further_scores}
    for measure in (*task.measures, *task.harms):
        assert {measure.metric, *measure.together} <= scores
        assert set(measure.parts) <= task.parts.keys()
        assert measure.worst != measure.best


@EVERY
def test_measures_have_names_of_their_own(task: Task) -> None:
    names = [measure.name for measure in task.measures]
    assert len(set(names)) == len(names)
    assert not task.floor or task.floor in names

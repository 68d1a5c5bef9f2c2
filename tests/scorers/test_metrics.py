"""Scores of images against figures computed by hand."""

import math

import torch

from htbench.scorers.metric_table import METRIC_TABLE
from htbench.scorers.metrics import (
    class_probability,
    concept_gain,
    image_preservation,
    presence,
    prompt_preservation,
)

EAST, NORTH = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
BETWEEN = torch.tensor([[0.6, 0.8]])


def test_gain_is_the_rise_of_the_cosine_to_the_concept() -> None:
    torch.testing.assert_close(concept_gain(BETWEEN, EAST, NORTH), torch.tensor([0.8]))


def test_an_unchanged_image_gains_nothing() -> None:
    assert concept_gain(BETWEEN, BETWEEN, NORTH).item() == 0


def test_gain_reaches_from_minus_2_to_2() -> None:
    assert (
        concept_gain(NORTH, -NORTH, NORTH).item(),
        concept_gain(-NORTH, NORTH, NORTH).item(),
    ) == (2, -2)


def test_presence_is_a_softmax_of_two_with_the_logit_scale() -> None:
    expected = math.exp(10 * 0.8) / (math.exp(10 * 0.8) + math.exp(10 * 0.6))
    torch.testing.assert_close(presence(BETWEEN, NORTH, EAST, scale=10.0), torch.tensor([expected]))


def test_presence_is_a_half_where_both_texts_fit_alike() -> None:
    assert presence(BETWEEN, EAST, EAST, scale=100.0).item() == 0.5


def test_a_huge_scale_does_not_overflow() -> None:
    assert presence(
        torch.cat([NORTH, EAST]), torch.cat([NORTH, NORTH]), torch.cat([EAST, EAST]), scale=1e6
    ).tolist() == [1, 0]


def test_prompt_preservation_is_the_cosine_to_the_prompt() -> None:
    torch.testing.assert_close(prompt_preservation(BETWEEN, EAST), torch.tensor([0.6]))


def test_the_same_image_is_preserved_fully() -> None:
    torch.testing.assert_close(image_preservation(BETWEEN, BETWEEN), torch.tensor([1.0]))


def test_image_preservation_is_the_cosine_to_the_unsteered_image() -> None:
    torch.testing.assert_close(image_preservation(BETWEEN, NORTH), torch.tensor([0.8]))


def test_each_image_is_scored_by_itself() -> None:
    torch.testing.assert_close(
        concept_gain(
            torch.cat([BETWEEN, EAST]), torch.cat([EAST, EAST]), torch.cat([NORTH, NORTH])
        ),
        torch.tensor([0.8, 0.0]),
    )


def test_class_probability_is_the_softmax_over_all_rivals() -> None:
    texts = torch.cat([EAST, NORTH])
    expected = torch.softmax(torch.tensor([10 * 0.6, 10 * 0.8]), 0)
    torch.testing.assert_close(
        class_probability(torch.cat([BETWEEN, BETWEEN]), texts, torch.tensor([0, 1]), scale=10.0),
        expected,
    )


def test_a_concept_without_rivals_is_itself() -> None:
    assert class_probability(BETWEEN, EAST, torch.tensor([0]), scale=100.0).item() == 1


def test_the_table_defines_each_score_once() -> None:
    names, titles = ({getattr(row, column) for row in METRIC_TABLE} for column in ("name", "title"))
    assert len(names) == len(titles) == len(METRIC_TABLE)
    definitions = [row.definition.replace("{scale}", "") for row in METRIC_TABLE]
    assert [text for text in definitions if not text or "{" in text] == []

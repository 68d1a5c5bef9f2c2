"""Pairs that are picked on the page: what the server sends for the list."""

import json
from base64 import b64decode
from typing import Any

import pytest
from starlette.testclient import TestClient

from htbench.core import pictures
from htbench.play.engine import Engine
from htbench.play.view import ConceptSource, View
from htbench.study.ask.pair_file import PickedPair

LEMON = {"words": "with lemon"}


def _pair(client: TestClient, *sides: tuple[str, float], concept: Any = LEMON) -> Any:
    asked = {
        "prompt": "horse",
        "seed": 3,
        "concept": concept,
        "sides": [{"method": method, "strength": strength} for method, strength in sides],
    }
    return client.post("/token/pair", json=asked)


def test_a_pair_has_the_pictures_of_the_page_without_loss(
    client: TestClient, engine: Engine
) -> None:
    engine.fit("mean-shift", ConceptSource(**LEMON))
    found = PickedPair.model_validate_json(_pair(client, ("none", 0), ("mean-shift", 0.5)).text)
    view = View(
        prompt="horse",
        seed=3,
        concepts=(ConceptSource(**LEMON),),
        methods=("mean-shift",),
        points=((0.5,),),
    )
    expected = [row.images[0].tobytes() for row in engine.rows(view)]
    sent = [pictures.open_picture(b64decode(each.png)) for each in found.pictures]
    assert [image.tobytes() for image in sent] == expected


def test_a_pair_says_what_it_shows(client: TestClient) -> None:
    found = json.loads(_pair(client, ("prompt", 1), ("prompt", 0.5)).text)
    sides = [(each.pop("method"), each.pop("strength")) for each in found.pop("pictures")]
    assert sides == [("prompt", 1.0), ("prompt", 0.5)]
    assert found == {
        "prompt": "horse",
        "seed": 3,
        "concept": "companion/lemon",
        "words": "with lemon",
        "families": [],
    }


@pytest.mark.parametrize(
    ("sides", "concept", "line"),
    [
        ((("mean-shift", 1), ("none", 0)), LEMON, "no picture of mean-shift: not fitted yet"),
        ((("prompt", 1), ("prompts", 1)), LEMON, "no method on this page 'prompts'"),
        ((("prompt", 1),), LEMON, "sides.1: Field required"),
        ((("prompt", 1), ("none", 1e9)), LEMON, "is not between -5 and 5"),
        ((("prompt", 1), ("none", 0)), {"words": ""}, "the concept is empty"),
        ((("prompt", 1), ("none", 0)), {"picture": "0" * 32}, "not kept any more"),
    ],
)
def test_a_pair_that_cannot_be_made_is_refused_in_one_line(
    client: TestClient, sides: tuple[tuple[str, float], ...], concept: Any, line: str
) -> None:
    reply = _pair(client, *sides, concept=concept)
    assert reply.status_code == 400
    assert line in reply.text
    assert len(reply.text.splitlines()) == 1


def test_a_concept_given_by_a_picture_makes_no_pair(client: TestClient, red_png: bytes) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    kept = client.post("/token/reference", content=red_png, headers=headers).json()
    reply = _pair(client, ("prompt", 1), ("none", 0), concept=kept)
    assert (reply.status_code, reply.text) == (400, "a study asks about concepts in words")

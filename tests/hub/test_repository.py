"""Names of repositories."""

import pytest

from htbench.core.errors import UsageError
from htbench.hub.repository import Repository


@pytest.mark.parametrize(
    ("text", "owner", "name", "revision"),
    [
        ("ann/quickstart", "ann", "quickstart", ""),
        ("ann/my.runs_2@v1", "ann", "my.runs_2", "v1"),
        ("a/b@refs/pr/3", "a", "b", "refs/pr/3"),
    ],
)
def test_a_name_has_an_owner_and_may_have_a_revision(
    text: str, owner: str, name: str, revision: str
) -> None:
    assert Repository.parse(text) == Repository(owner=owner, name=name, revision=revision)
    assert str(Repository.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "ann", "ann/", "/x", "ann/x/y", "ann/x@", "ann/..", "a--b/c", "ann/x.git", "ann/ü"),
        *("-a/b", "ann/x@a b", f"ann/{'x' * 99}", "ann/x\n", "../x"),
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no name of a repository"):
        Repository.parse(text)


@pytest.mark.parametrize(
    "text",
    ["https://hub.example/datasets/ann/x", "datasets/ann/x", "hf://datasets/ann/x", "ann/x/tree"],
)
def test_the_nearest_name_is_told(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Repository.parse(text)
    assert caught.value.remedy == "Did you mean ann/x?"

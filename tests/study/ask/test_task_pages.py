"""Studies of strengths, single pictures and sets: their pages, keys, servers and imports."""

import csv
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from kit import judged_run, served_study, strengths_run

from htbench.core.errors import UnknownName, UsageError
from htbench.core.types import method_and_strength
from htbench.study.answer import Item, Key
from htbench.study.answer import read as read_answers
from htbench.study.ask import export, page, platforms
from htbench.study.ask.options import StudyOptions
from htbench.study.collect import intake, profile
from htbench.study.exclusions import Rules, by_rater, repeat_matches

TASKS = ("strength", "rating", "yes-no", "best")
SMALL = {"pairs": 24, "raters": 6, "votes": 3, "size": 16}


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("studies")
    judged, strengths = judged_run.build(folder / "judged"), strengths_run.build(folder / "run")
    for task in TASKS:
        run = strengths if task == "strength" else judged
        export.write(run, folder / task, StudyOptions(task=task, **SMALL))  # type: ignore[arg-type]
    return {task: folder / task for task in TASKS}


def items(study: Path, kind: str = "vote") -> list[Item]:
    return [item for item in Key.read(study / "key.csv").values() if item.kind == kind]


def saved(study: Path, folder: Path, *choices: str) -> Path:
    """The answers of each person to the whole sheet, the choices in turn."""
    path = folder / "saved.csv"
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["rater", "item", "choice", "rt_ms", "position", "sheet"])
        for number, sheet in enumerate(page.read(study).sheets, start=1):
            for place, trial in enumerate(sheet, start=1):
                choice = trial["check"] or choices[place % len(choices)]
                row = [f"person-{number:02}", trial["item"], choice, 2000, place, number]
                lines.writerow(row)
    return path


def take(study: Path, path: Path) -> None:
    intake.import_answers(
        [path],
        study,
        profile=profile.find("htbench"),
        key=None,
        secret=path.with_name("secret"),
        rules=None,
    )


def test_two_strengths_of_one_method_meet(studies: dict[str, Path]) -> None:
    for item in items(studies["strength"]):
        (one, weak), (two, strong) = map(method_and_strength, item.shown)
        assert one == two != "none"
        assert weak != strong


def test_the_stronger_picture_is_on_either_side(studies: dict[str, Path]) -> None:
    sides = Counter(
        method_and_strength(item.left)[1] > method_and_strength(item.right)[1]
        for item in items(studies["strength"])
    )
    assert sides[True] == sides[False]


def test_strengths_are_balanced_over_differences_and_methods(studies: dict[str, Path]) -> None:
    shown = Counter((item.concept, frozenset(item.shown)) for item in items(studies["strength"]))
    methods = Counter(method_and_strength(min(names))[0] for _, names in shown)
    assert methods == {"good": 12, "poor": 12}


def test_the_unsteered_picture_is_that_of_strength_0(studies: dict[str, Path]) -> None:
    assert any("good@0" in item.shown for item in items(studies["strength"]))


def test_the_best_is_chosen_of_all_methods_in_each_place_equally_often(
    studies: dict[str, Path],
) -> None:
    places: dict[str, Counter[int]] = defaultdict(Counter)
    trials = [trial for sheet in page.read(studies["best"]).sheets for trial in sheet]
    key = Key.read(studies["best"] / "key.csv")
    for trial in trials:
        if key[trial["item"]].kind == "vote":
            for place, name in enumerate(key[trial["item"]].shown):
                places[name][place] += 1
    assert set(places) == set(judged_run.SKILL)
    assert all(max(own.values()) - min(own.values()) <= 9 for own in places.values())


def test_single_pictures_are_balanced_over_methods(studies: dict[str, Path]) -> None:
    pictures = {(item.left, item.concept) for item in items(studies["rating"])}
    assert Counter(method for method, _ in pictures) == dict.fromkeys(judged_run.SKILL, 6)


def test_the_page_shows_what_the_key_says(studies: dict[str, Path]) -> None:
    for study in studies.values():
        key = Key.read(study / "key.csv")
        for sheet in page.read(study).sheets:
            for trial in sheet:
                files = page.picture_files(trial)
                assert len(files) == len(key[trial["item"]].shown)
                assert all((study / "page" / "pictures" / name).is_file() for name in files)


def test_no_page_names_a_method(studies: dict[str, Path]) -> None:
    for study in studies.values():
        text = (study / "page" / "index.html").read_text()
        assert not [name for name in judged_run.SKILL if f'"{name}"' in text or f"{name}@" in text]


@pytest.mark.parametrize(("task", "least"), [("rating", "1"), ("yes-no", "no")])
def test_noise_alone_gets_the_lowest_answer(
    studies: dict[str, Path], task: str, least: str
) -> None:
    sentinels = items(studies[task], "sentinel")
    assert {item.expected for item in sentinels} == {least}
    assert all(item.left.startswith("noise ") for item in sentinels)


@pytest.mark.parametrize("task", ["rating", "yes-no"])
def test_one_answer_to_everything_fails_checks_or_sentinels(
    studies: dict[str, Path], task: str
) -> None:
    wanted = [
        {each.expected for each in items(studies[task], kind)} for kind in ("check", "sentinel")
    ]
    assert not wanted[0] & wanted[1]


def test_the_stronger_picture_meets_noise(studies: dict[str, Path]) -> None:
    for item in items(studies["strength"], "sentinel"):
        (name,) = set(item.shown) - {"noise"}
        assert method_and_strength(name)[1] > 0


def test_of_a_set_with_noise_the_only_picture_is_the_best(studies: dict[str, Path]) -> None:
    for item in items(studies["best"], "sentinel"):
        noise = [name.startswith("noise ") for name in item.shown]
        assert noise.count(False) == 1
        assert noise.index(False) == int(item.expected) - 1


@pytest.mark.parametrize(
    ("task", "choices"),
    [("strength", ("left", "right")), ("rating", ("1", "3", "5")), ("yes-no", ("yes", "No")),
     ("best", ("1", "2", "skip", "3"))],
)  # fmt: skip
def test_answers_come_back(
    studies: dict[str, Path], tmp_path: Path, task: str, choices: tuple[str, ...]
) -> None:
    take(studies[task], saved(studies[task], tmp_path, *choices))
    answers = list(read_answers(studies[task] / "answers.csv"))
    lengths = sum(map(len, page.read(studies[task]).sheets))
    assert len(answers) == lengths
    assert {each.choice for each in answers if each.kind == "vote"} == {
        choice.lower() for choice in choices
    }


@pytest.mark.parametrize(
    ("task", "choice"),
    [("strength", "tie"), ("rating", "6"), ("rating", "left"), ("yes-no", "3"), ("best", "5")],
)
def test_an_answer_of_another_task_stops_the_import(
    studies: dict[str, Path], tmp_path: Path, task: str, choice: str
) -> None:
    with pytest.raises(UsageError, match=rf"choice '{choice}'"):
        take(studies[task], saved(studies[task], tmp_path, choice))


def test_a_repeat_of_a_set_is_alike_if_the_same_picture_is_chosen(
    studies: dict[str, Path], tmp_path: Path
) -> None:
    run, study = studies["best"].parent / "judged", tmp_path / "study"
    export.write(run, study, StudyOptions(task="best", **SMALL))  # type: ignore[arg-type]
    key = Key.read(study / "key.csv")
    with (tmp_path / "chosen.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["rater", "item", "choice", "rt_ms", "position", "sheet"])
        for place, trial in enumerate(page.read(study).sheets[0], start=1):
            shown = key[trial["item"]].shown
            choice = trial["check"] or str(1 + shown.index(max(shown)))
            lines.writerow(["somebody", trial["item"], choice, 2000, place, 1])
    take(study, tmp_path / "chosen.csv")
    (own,) = by_rater(read_answers(study / "answers.csv")).values()
    assert repeat_matches(own) == [True] * 3


def test_a_server_takes_the_answers_of_the_task_alone(
    studies: dict[str, Path], tmp_path: Path
) -> None:
    study = studies["rating"]
    with served_study.serving(study) as server:
        link = server.site.links.participants[1]
        given = served_study.answers(study, 1, [1, 2])
        refused = served_study.post(server.server_port, link, given)
        rated = [{**each, "choice": "4"} for each in given]
        accepted = served_study.post(server.server_port, link, rated)
    assert (refused.status, accepted.status) == (400, 200)
    assert b"no answer 'right'" in refused.body


def test_people_may_give_one_rating_many_times_in_a_row(studies: dict[str, Path]) -> None:
    assert Rules.read(studies["rating"] / "rules.toml").longest_run == 0
    assert Rules.read(studies["best"] / "rules.toml") == Rules()


def test_a_template_of_pairs_is_refused_for_ratings(studies: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="this study shows pictures"):
        platforms.write(studies["rating"], "mturk", pictures_url="https://example.org")


def test_the_template_csv_has_a_row_per_trial_with_all_pictures(studies: dict[str, Path]) -> None:
    (path,) = platforms.write(studies["best"], "csv", pictures_url="https://example.org/p")
    rows = list(csv.DictReader(path.open(newline="")))
    sheets = page.read(studies["best"]).sheets
    assert [row["item"] for row in rows] == [trial["item"] for sheet in sheets for trial in sheet]
    assert all(
        row[f"picture{k}"].startswith("https://example.org/p/") for row in rows for k in (1, 4)
    )
    assert rows[0]["answers"] == "1;2;3;4;skip"


def test_an_unknown_task_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'rating'"):
        export.write(tmp_path, tmp_path / "s", StudyOptions(task="ratings"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "strength", "strength": 1.0}, "compares all strengths"),
        ({"task": "rating", "against": "good"}, "--against is for pairs"),
        ({"task": "strength", "criterion": "quality"}, "no criterion 'quality'"),
        ({"task": "best", "set_size": 9}, "--set-size 9 is not from 2 to 8"),
        ({"task": "best", "methods": ("good",)}, "two methods"),
        ({"task": "strength", "methods": ("none",)}, "at two strengths"),
    ],
)
def test_contradictions_are_refused_in_one_line(
    studies: dict[str, Path], tmp_path: Path, options: dict[str, object], message: str
) -> None:
    run = studies["rating"].parent / "judged"
    with pytest.raises(UsageError, match=message) as told:
        export.write(run, tmp_path / "study", StudyOptions(**options))  # type: ignore[arg-type]
    assert "\n" not in str(told.value)
    assert not (tmp_path / "study").exists()


def test_one_method_can_be_rated(studies: dict[str, Path], tmp_path: Path) -> None:
    run = studies["rating"].parent / "judged"
    options = StudyOptions(task="yes-no", methods=("good",), pairs=8, raters=2, votes=2, size=16)
    assert export.write(run, tmp_path / "study", options).pairs == 8

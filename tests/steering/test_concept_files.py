"""A user's own concept sets: CSV, folder or Hugging Face data set, and one-line errors."""

import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import datasets
import pytest
from PIL import Image

from htbench import report
from htbench.core import content
from htbench.core.errors import HtbenchError, Missing, Refused, UnknownName, UsageError
from htbench.run import plan, runner
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.steering import concept
from htbench.steering.concept import Concept

MINE = """\
text,kind,template,split,paraphrases
with a lemon,fruit,{prompt} {concept},,beside a lemon|next to a lemon
in fog,,,train,
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.csv").write_text(MINE)
    return tmp_path / "mine.csv"


def only(path: Path) -> Concept:
    return concept.load(str(path)).splits["test"][0]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_csv_is_a_concept_set(mine: Path) -> None:
    lemon = only(mine)
    assert (lemon.id, lemon.template, lemon.paraphrases) == (
        "fruit/with-a-lemon",
        "{prompt} with a lemon",
        ("beside a lemon", "next to a lemon"),
    )


def test_a_column_names_the_families_of_a_concept(tmp_path: Path) -> None:
    citrus = only(write(tmp_path / "mine.csv", "text,family\nwith a lemon,citrus | yellow\n"))
    assert citrus.families == ("citrus", "yellow")


def test_a_column_has_synonyms_that_are_apart_from_paraphrases(tmp_path: Path) -> None:
    text = "text,synonyms,paraphrases\nin fog,in mist | in haze,in murk\n"
    fog = only(write(tmp_path / "mine.csv", text))
    assert (fog.synonyms, fog.paraphrases) == (("in mist", "in haze"), ("in murk",))


def test_a_set_without_synonyms_has_the_version_that_it_had(mine: Path) -> None:
    assert concept.load(str(mine)).version == "7e28dc48f4142003"


def test_a_column_of_texts_is_enough(tmp_path: Path) -> None:
    fog = only(write(tmp_path / "mine.csv", "text\nin fog\n"))
    assert (fog.id, fog.kind, fog.template) == ("own/in-fog", "own", "{prompt}, in fog")


@pytest.mark.parametrize(
    "text",
    [
        "\ufefftext;kind\r\nin fog;weather\r\n",
        "Text\tKind\nin fog\tweather\n",
        'kind,text\nweather,"in fog"\n',
    ],
)
def test_a_csv_is_read_however_a_spreadsheet_wrote_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(text, encoding="utf-8", newline="")
    assert only(tmp_path / "mine.csv").id == "weather/in-fog"


def test_a_set_without_prompts_has_neutral_ones_to_learn_from_and_others_to_evaluate_on(
    mine: Path,
) -> None:
    own = concept.load(str(mine))
    assert len(own.splits["test"][0].sources) >= 128
    assert len(own.prompts) >= 64


def test_a_folder_brings_its_own_prompts_and_card(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "concepts.csv", MINE)
    write(tmp_path / "mine" / "prompts.csv", "text,use\na pond,fit\na hill,evaluation\n")
    write(
        tmp_path / "mine" / "card.toml",
        'name = "fruit"\nversion = "2"\nlicence = "mine"\nabout = "x"\n',
    )
    own = concept.load(str(tmp_path / "mine"))
    assert (own.name, own.version, own.prompts, own.splits["test"][0].sources) == (
        "fruit",
        "2",
        ("a hill",),
        ("a pond",),
    )


def test_the_files_of_a_shipped_set_are_a_set_of_ones_own(tmp_path: Path) -> None:
    folder = content.folder("concepts") / "emoji"
    for name in ("card.toml", "concepts.jsonl", "prompts.jsonl", "references.zip"):
        shutil.copyfile(folder / name, tmp_path / name)
    digests = [
        [c.digest for c in of.splits["test"]]
        for of in (concept.load(str(tmp_path)), concept.load("emoji"))
    ]
    assert digests[0] == digests[1]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere.csv", MINE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "concepts.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(UsageError, match="is a link out of"):
        concept.load(str(tmp_path / "mine"))


def test_a_device_is_no_concept_set(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="is not a regular file"):
        concept.load(str(tmp_path / "mine.csv"))


def test_a_file_of_a_spreadsheet_in_utf_16_with_tabs_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes("text\tkind\nin fög\tweather\n".encode("utf-16"))
    (fog,) = concept.load(str(tmp_path / "mine.csv")).splits["test"]
    assert (fog.text, fog.kind) == ("in fög", "weather")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("mine.csv", b"PK\x03\x04\x14\x00", "is a ZIP archive"),
        ("mine.csv", b"text\nin f\xf6g\n", "is not UTF-8"),
        ("mine.csv", b"text,text\na,b\n", "two columns 'text'"),
        ("mine.csv", b"text\n" + b"x" * 20_000, "more than 10,000 characters"),
        ("mine.jsonl", b'{"text": ' + b"[" * 100_000, "is no JSON"),
        ("mine.jsonl", b'{"text": ' + b"1" * 5_000 + b"}", "more than 400 digits"),
    ],
)
def test_a_file_that_is_no_concept_set_is_told_in_one_line(
    name: str, data: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError) as caught:
        concept.load(str(tmp_path / name))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("card", ["x = nan", "x = 2020-01-01", "name = " + "9" * 5000, "[" * 100])
def test_a_bad_card_of_a_concept_set_is_told_in_one_line(card: str, tmp_path: Path) -> None:
    write(tmp_path / "mine" / "concepts.csv", MINE)
    write(tmp_path / "mine" / "card.toml", card)
    with pytest.raises(UsageError, match=r"card\.toml|card of the concept set") as caught:
        concept.load(str(tmp_path / "mine"))
    assert "\n" not in str(caught.value)


def test_references_are_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "mine" / "concepts.csv", "text,id\nin fog,fog\n")
    picture = BytesIO()
    Image.new("RGB", (2, 2), "red").save(picture, "PNG")
    with ZipFile(tmp_path / "mine" / "references.zip", "w") as archive:
        archive.writestr("fog/1.png", picture.getvalue())
    monkeypatch.chdir(tmp_path)
    (fog,) = concept.load("./mine").splits["test"]
    monkeypatch.chdir("/")
    assert fog.references[0].open().size == (2, 2)


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "concepts.csv", "text,id\nin fog,fog\n")
    with ZipFile(tmp_path / "mine" / "references.zip", "w", ZIP_DEFLATED) as archive:
        archive.writestr("fog/1.png", bytes(1 << 24))
    with pytest.raises(UsageError, match="which no picture is"):
        concept.load(str(tmp_path / "mine"))


def test_a_shipped_prompt_that_is_learnt_from_is_not_evaluated_on(tmp_path: Path) -> None:
    first = concept.load(concept.NEUTRAL_PROMPT_SET).prompts[0]
    write(tmp_path / "mine" / "concepts.csv", MINE)
    write(tmp_path / "mine" / "prompts.csv", f"text,use\n{first},fit\n")
    assert first not in concept.load(str(tmp_path / "mine")).prompts


def test_a_data_set_of_hugging_face_is_a_concept_set(tmp_path: Path) -> None:
    table, other = (
        datasets.Dataset.from_list([{"text": text, "paraphrases": ["in haze"], "source": "mine"}])
        for text in ("in fog", "in mist")
    )
    datasets.DatasetDict({"test": table, "validation": other}).save_to_disk(str(tmp_path / "mine"))
    own = concept.load(str(tmp_path / "mine"))
    assert [
        (split, c.template, c.paraphrases) for split, members in own.splits.items() for c in members
    ] == [
        ("dev", "{prompt}, in mist", ("in haze",)),
        ("test", "{prompt}, in fog", ("in haze",)),
    ]


def test_the_table_of_the_page_is_a_concept_set(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "concepts.md").read_text(encoding="utf-8")
    table = page.partition("<!-- mine.csv -->\n```csv\n")[2].partition("```")[0]
    own = concept.load(str(write(tmp_path / "mine.csv", table)))
    assert [[c.target("a cat") for c in members] for members in own.splits.values()] == [
        [],
        ["a cat, sepia style"],
        ["a cat, foggy weather", "a cat with blueberries"],
    ]


BAD = [
    ("kind\nfruit\n", "'mine.csv' has no column 'text'"),
    ("text,knd\nin fog,weather\n", "no column of mine.csv 'knd'; did you mean 'kind'"),
    ("text,kind\nin fog,weather\n,weather\n", "mine.csv row 3: text is empty"),
    ("text,split\nin fog,tset\n", "mine.csv row 2: no split 'tset'; there are train, dev and test"),
    ("text,template\nin fog,in fog\n", "mine.csv row 2: template 'in fog' has no {prompt}"),
    (
        "text,template,paraphrases\nin fog,{prompt} in mist,in haze\n",
        "mine.csv row 2: template '{prompt} in mist' does not hold the text",
    ),
    (
        "text,template,synonyms\nin fog,{prompt} in mist,in haze\n",
        "so synonyms cannot take its place",
    ),
    (
        "text\nin fog\nin rain\nIn  Fog\n",
        "mine.csv row 4: concept 'own/in-fog' is there already: mine.csv row 2",
    ),
    ("text,kind\nin fog, rain, snow\n", "mine.csv row 2: has more than 2 fields"),
    ('text\n"in fog\n', "cannot be read"),
    ("text\n", "has no concepts"),
    ("", "has no column 'text'"),
    (
        "text,id\nin fog," + "x" * 300 + "\n",
        "mine.csv row 2: id: String should have at most 200 characters",
    ),
]


@pytest.mark.parametrize(("text", "line"), BAD)
def test_a_bad_csv_is_answered_with_one_line(text: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        concept.load(str(write(tmp_path / "mine.csv", text)))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "is not a JSON object"),
        ('{"text": 3}', "text '3' is not text"),
        ('{"txt": 3}', "txt"),
    ],
)
def test_bad_lines_of_json_are_answered_with_one_line(line: str, said: str, tmp_path: Path) -> None:
    write(tmp_path / "mine" / "concepts.jsonl", '{"text": "in fog"}\n' + line)
    with pytest.raises(UsageError, match=rf"concepts\.jsonl row 2.*{said}"):
        concept.load(str(tmp_path / "mine"))


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "concepts.jsonl", '{"text": "in fog"}\n{')
    with pytest.raises(UsageError, match=r"line 2 of concept file .*concepts\.jsonl' is no JSON"):
        concept.load(str(tmp_path / "mine"))


def test_a_prompt_to_learn_from_and_to_evaluate_on_is_refused_by_its_row(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "concepts.csv", MINE)
    write(tmp_path / "mine" / "prompts.csv", "text,use\na pond,fit\nA  pond,evaluation\n")
    with pytest.raises(
        UsageError, match=r"prompts\.csv row 3: prompt .* is there already: prompts\.csv row 2"
    ):
        concept.load(str(tmp_path / "mine"))


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("./nothing", Missing),
        ("nothing.csv", Missing),
        ("./" + "y" * 300, UsageError),
        ("mine", UnknownName),
    ],
)
def test_a_set_that_is_not_there_is_answered_with_a_remedy(
    name: str, error: type[HtbenchError]
) -> None:
    with pytest.raises(error) as caught:
        concept.load(name)
    assert caught.value.remedy or error is UsageError


def test_a_file_that_is_not_text_is_answered_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes(b"text\n\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        concept.load(str(tmp_path / "mine.csv"))


def test_a_folder_without_concepts_is_answered_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no concepts\.csv or concepts\.jsonl"):
        concept.load(str(tmp_path))


def test_a_plan_takes_the_path_of_a_set(mine: Path) -> None:
    settings = plan.build({"concept_set": str(mine), "concepts": "train"})
    chosen = plan.resolve(settings).concepts
    assert [each.id for each in chosen] == ["own/in-fog"]


def test_a_set_of_ones_own_runs_from_beginning_to_end(
    mine: Path, toy_plugins: Path, tmp_path: Path
) -> None:
    settings = {
        "model": "toy",
        "concept_set": str(mine),
        "methods": ["prompt", "mean-shift"],
        "prompts": 2,
        "strengths": [1.0],
    }
    runner.run(plan.build(settings), tmp_path / "run")
    with Store.read(tmp_path / "run") as store:
        assert (Summary(store).done, Summary(store).concepts) == (6, 1)
    assert "with a lemon" in report.write(tmp_path / "run").read_text()


def test_words_that_a_method_was_trained_on_are_a_leak_in_a_set_of_ones_own(
    toy_plugins: Path, tmp_path: Path
) -> None:
    known = concept.load("emoji").splits["train"][0].text
    settings = {
        "concept_set": str(write(tmp_path / "mine.csv", f'text\n"{known}"\n')),
        "methods": ["hypertransport"],
        "prompts": 1,
        "strengths": [1.0],
    }
    with pytest.raises(Refused):
        runner.run(plan.build(settings), tmp_path / "run")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "concepts"], "fruit/with-a-lemon"),
        (["show", "concept", "fruit/with-a-lemon"], "beside a lemon"),
    ],
)
def test_a_set_of_ones_own_is_listed_and_shown(words: list[str], said: str, mine: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "htbench", *words, "--concept-set", str(mine)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (answer.returncode, said in answer.stdout, answer.stderr) == (0, True, "")

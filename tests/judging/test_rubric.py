"""Rubrics: two placeholders, and nothing that runs, whatever a rubric holds."""

from pathlib import Path

import pytest
from kit import judged_run

from htbench.core.errors import UsageError
from htbench.judging import card as judge_cards
from htbench.judging import rubric

_MARK = "touch EXECUTED"
_GLOBALS = f"__globals__['os'].popen('{_MARK}').read()"
HOSTILE = [
    *(
        "{{ " + text + " }}"
        for text in (
            f"cycler.__init__.{_GLOBALS}",
            f"lipsum.{_GLOBALS}",
            f"joiner.__init__.{_GLOBALS}",
            f"namespace.__init__.{_GLOBALS}",
            f"dict.__base__.__subclasses__()[0].__init__.{_GLOBALS}",
            f"self.__init__.{_GLOBALS}",
            f"self._TemplateReference__context.cycler.__init__.{_GLOBALS}",
            f"concept.__class__.__mro__[1].__subclasses__()[104].__init__.{_GLOBALS}",
            f"''.__class__.__base__.__subclasses__()|map(attribute='__init__.{_GLOBALS}')|list",
            f"(concept|attr('__class__')|attr('__init__'))|attr('__globals__').os.popen('{_MARK}')",
            f"concept['__cl'+'ass__'].__init__.{_GLOBALS}",
            f"get_flashed_messages.{_GLOBALS}",
            f"url_for.{_GLOBALS}",
            f"config.__class__.__init__.{_GLOBALS}",
            f"request.application.{_GLOBALS}",
            f"x.__init__.__builtins__['__import__']('os').system('{_MARK}')",
            f"__import__('os').system('{_MARK}')",
            f"eval('{_MARK}')",
            "open('EXECUTED', 'w')",
            "range(10**9)|list",
            "range(10**9)|sum",
            "'x' * 10**10",
            "concept * 10**9",
            "10 ** 10 ** 10",
            "'%0999999999d' % 1",
            "'{:>9999999999}'.format(1)",
            "lipsum(n=10**7)",
            "concept|center(10**10)",
            "concept|indent(10**9)",
            "concept|replace('', prompt * 10**8)",
            "('a' * 10**6)|wordwrap(1)",
            "concept|batch(10**9, 'x')|list",
            "concept.format_map(prompt)",
            "concept.encode().__reduce__()",
            "concept or prompt",
            "concept|upper",
            "concept|e",
            "- concept -",
            "method",
            "concept.",
            "'" * 30_000,
            "(" * 30_000,
        )
    ),
    "{% for a in range(10**9) %}{% for b in range(10**9) %}x{% endfor %}{% endfor %}",
    "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "{% include 'presence.jinja' %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% extends 'presence.jinja' %}",
    "{% set x = cycler.__init__.__globals__ %}",
    "{% call lipsum() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}",
    "{% if concept %}x{% endif %}",
    "{% raw %}{{ concept }}{% endraw %}",
    "{% do x.append(1) %}",
    "{% with a = 1 %}{% endwith %}",
    "{# a comment #}",
    "{{",
    "{%",
    "{#",
    "{{ concept }} {{",
    "{{" * 30_000,
    "{% if 1 %}" * 5_000,
    "{{ concept }",
    "{{\nconcept\n}}",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    judged_run.card(tmp_path / "judge", "http://127.0.0.1:9/v1")
    return tmp_path / "judge"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_rubric_runs_nothing_and_is_one_line_that_names_the_line(
    text: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (folder / "presence.jinja").write_text(f"Which?\n{text}")
    with pytest.raises(
        UsageError, match=r"rubric 'presence' .* is not valid: line 2 has"
    ) as caught:
        judge_cards.load_judge_card(str(folder))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert not (tmp_path / "EXECUTED").exists()


def test_there_are_at_least_fifty_of_them() -> None:
    assert len(set(HOSTILE)) >= 50


def test_what_is_filled_in_is_not_read_as_a_rubric() -> None:
    text = "{{ concept }} on {{prompt}}"
    filled = rubric.render(text, concept="{{ prompt }}", prompt="{% x %}")
    assert filled == "{{ prompt }} on {% x %}"


@pytest.mark.parametrize("name", judge_cards.judge_names())
@pytest.mark.parametrize(
    ("concept", "prompt"), [("with lemon", "a cat"), (' "x" ', "{{ y }}"), ("ü\n\nz", "")]
)
def test_shipped_rubrics_read_as_jinja_reads_them(name: str, concept: str, prompt: str) -> None:
    from jinja2 import Environment, StrictUndefined

    card = judge_cards.load_judge_card(name)
    environment = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)
    for criterion in card.known_criteria:
        template = environment.from_string(card.rubric(criterion))
        by_jinja = template.render(concept=concept, prompt=prompt).strip()
        assert card.render_rubric(criterion, concept=concept, prompt=prompt) == by_jinja


def test_digests_of_shipped_judges_do_not_change() -> None:
    digests = {name: judge_cards.load_judge_card(name).digest for name in judge_cards.judge_names()}
    assert digests == {
        "clip": "5498ba779cd9a5fb",
        "local": "7e8929f60b229852",
        "openai": "f67e6f9f62ca455b",
    }


def test_a_rubric_that_grows_too_long_is_refused() -> None:
    with pytest.raises(rubric.InvalidRubric, match="characters when filled in"):
        rubric.render("{{ concept }}" * 4000, concept="x" * 1000, prompt="")


def _latin(path: Path) -> None:
    path.write_bytes("Which is schöner?".encode("latin-1"))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def _link_to_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _huge(path: Path) -> None:
    path.write_text("x" * (rubric.MAX_BYTES + 1))


@pytest.mark.parametrize("spoil", [_latin, _folder, _link, _link_to_device, _huge])
def test_a_file_that_is_no_rubric_is_one_line(spoil: object, folder: Path) -> None:
    spoil(folder / "presence.jinja")  # type: ignore[operator]
    with pytest.raises(UsageError, match=r"^rubric '.*presence\.jinja'") as caught:
        judge_cards.load_judge_card(str(folder))
    assert "\n" not in str(caught.value)


_DEEP = '{"a":' * 100_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '"x"',
        '{"properties": 3}',
        '{"properties": {"verdict": 3}}',
        '{"properties": {"verdict": {"enum": 3}}}',
        '{"properties": {"verdict": {"enum": ["A"]}}}',
        '{"properties": NaN}',
        '{"a": ' + "9" * 5000 + "}",
        _DEEP,
    ],
)
def test_a_schema_that_is_none_is_one_line(text: str, folder: Path) -> None:
    (folder / "reply.json").write_text(text)
    with pytest.raises(UsageError, match=r"reply\.json") as caught:
        judge_cards.load_judge_card(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("temperature = 0", "temperature = nan"),
        ("temperature = 0", "temperature = -inf"),
        ("temperature = 0", "temperature = 1e999"),
        ("temperature = 0", "temperature = 2026-11-01"),
        ("temperature = 0", "temperature = 12:00:00"),
        ("temperature = 0", "temperature = " + "9" * 5000),
        ("temperature = 0", "temperature = " + "[" * 5000),
        ("temperature = 0", "temperature = " + "[" * 70 + "]" * 70),
        ("temperature = 0", "stream = true"),
        ("temperature = 0", 'messages = "x"'),
        ("temperature = 0", "n = 10"),
        ('format = "png"', 'background = "no colour"'),
        ("size = 32", "size = -1"),
        ('rubrics = ""', 'rubrics = "../../etc"'),
        ("timeout = 5.0", "timeout = 1e300"),
        ("timeout = 5.0", "timeout = inf"),
        ("[decoding]", "[settings]\nx = nan\n[decoding]"),
        ("[decoding]", "[settings]\nx = 1979-05-27\n[decoding]"),
    ],
)
def test_a_card_with_an_impossible_value_is_one_line(old: str, new: str, folder: Path) -> None:
    path = folder / "card.toml"
    text = path.read_text()
    changed = text.replace(old, new, 1) if old in text else f"{new}\n{text}"
    path.write_text(changed)
    with pytest.raises(UsageError, match="has a card that is not valid") as caught:
        judge_cards.load_judge_card(str(folder))
    assert "\n" not in str(caught.value)


def test_rubrics_of_a_shipped_judge_can_be_shared_by_name(folder: Path) -> None:
    (folder / "presence.jinja").unlink()
    path = folder / "card.toml"
    path.write_text(f'rubrics = "openai"\n{path.read_text()}')
    card = judge_cards.load_judge_card(str(folder))
    assert card.rubric("presence") == judge_cards.load_judge_card("openai").rubric("presence")

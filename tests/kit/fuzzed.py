"""Every kind of input and record: a healthy one, and how htbench uses it."""

import contextlib
import io
import json
import shutil
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from zipfile import ZipFile

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from htbench import __main__
from htbench.bundles.pack import pack
from htbench.core import content
from htbench.core.errors import HtbenchError
from htbench.report.serve import LiveReport, make_server
from kit import edited_bundle, report_run, study_exports

KEPT = Path(__file__).parent / "kept"
PLAN = """model = "emoji"
methods = ["prompt", "mean-shift"]
concepts = "test"
strengths = [0.0, 1.0]
prompts = 2
name = "x"
allow_leak = false
"""
CARD = """name = "mine"
method = "mean-shift"
summary = "Mine."
[settings]
samples = 8
[[published]]
what = "a"
value = "b"
conditions = "c"
"""
PRICES = """date = 2026-11-01
currency = "USD"
[models]
"gpt-4o" = { input = 2.5, output = 10.0, cached = 1.25, batch = 0.5 }
"""
SCORER = """name = "words"
summary = "Length."
better = "higher"
against = "target"
command = ["cat", "answers.jsonl"]
start = 2
patience = 2
"""
REPLY = {
    "choices": [
        {
            "finish_reason": "stop",
            "message": {
                "content": '<think>A or B?</think>{"reason": "r", "verdict": "A"}',
                "refusal": None,
            },
            "logprobs": {
                "content": [
                    {"token": '"verdict": "', "logprob": -0.1, "top_logprobs": []},
                    {
                        "token": "A",
                        "logprob": -0.1,
                        "top_logprobs": [
                            {"token": "A", "logprob": -0.1},
                            {"token": "B", "logprob": -2.5},
                        ],
                    },
                ]
            },
        }
    ],
    "usage": {
        "prompt_tokens": 900,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 0},
    },
}


@dataclass(frozen=True)
class Kind:
    """A kind of input."""

    name: str
    weight: float
    """Share of the mutations, against the other kinds: the quicker, the more."""
    build: Callable[[Path], None]
    """Writes a healthy one into an empty folder."""
    files: str
    """Pattern of the files that are mutated."""
    use: Callable[[Path], None]
    """Uses it as htbench does; an error that a user can mend ends it."""


def command(*words: str) -> None:
    """Run a command in this process; it must end as every command of htbench does."""
    errors = io.StringIO()
    argv, streams = sys.argv, (sys.stdout, sys.stderr)
    sys.argv = ["htbench", *words]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            __main__.main()
    except SystemExit as end:
        code = end.code or 0
        assert code in (0, 2, 3, 4, 5), f"{words} ended with {code}: {errors.getvalue()[-2000:]}"
        lines = errors.getvalue().splitlines()
        assert code in (0, 3) or any(line.startswith("htbench: ") for line in lines), lines[-5:]
    finally:
        sys.argv = argv
        sys.stdout, sys.stderr = streams


def library(use: Callable[[Path], object]) -> Callable[[Path], None]:
    """The use of a function of the library, whose errors are of htbench and one line each."""

    def tolerant(folder: Path) -> None:
        problem = ""
        try:
            use(folder)
        except HtbenchError as error:
            problem = str(error)
        assert "\n" not in problem, problem[:500]

    return tolerant


def _write(**files: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        for name, text in files.items():
            path = folder / name.replace("__", ".")
            path.write_text(text)

    return build


def _words(folder: Path) -> None:
    shutil.copytree(KEPT / "words", folder / "words")


def _concept_lines(folder: Path) -> None:
    rows = [
        {"text": f"with lemon {k}", "kind": "fruit", "split": "test", "paraphrases": ["citrus"]}
        for k in range(4)
    ]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _references(folder: Path) -> None:
    own = folder / "own"
    own.mkdir()
    (own / "concepts.csv").write_text("id,text,kind\nlemon,with lemon,fruit\n")
    picture = io.BytesIO()
    Image.effect_noise((9, 7), 40).save(picture, "PNG")
    with ZipFile(own / "references.zip", "w") as archive:
        archive.writestr("lemon/1.png", picture.getvalue())


def _open_references(folder: Path) -> None:
    from htbench.steering import concept

    for each in concept.load(str(folder / "own")).select("test"):
        for reference in each.references:
            reference.open()


def _pictures(folder: Path) -> None:
    picture = Image.effect_noise((40, 30), 40).convert("RGB")
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
        picture.save(folder / f"picture.{kind.lower()}")
    picture.convert("RGBA").save(folder / "alpha.png", icc_profile=b"x" * 200)
    picture.convert("I;16" if hasattr(Image, "I16") else "L").save(folder / "grey.png")


def _open_pictures(folder: Path) -> None:
    from htbench.steering.concept import ImageFile

    for path in sorted(folder.iterdir()):
        with suppress(HtbenchError):
            ImageFile.from_path(path).open()


def _judge(folder: Path) -> None:
    shutil.copytree(content.folder("judges") / "openai", folder / "judge")


def _use_judge(folder: Path) -> None:
    from htbench.judging.card import load_judge_card

    card = load_judge_card(str(folder / "judge"))
    assert card.digest
    for criterion in card.criteria:
        text = card.render_rubric(criterion, concept="with lemon", prompt="a cat")
        assert len(text) < 1_000_000


def _run(folder: Path) -> None:
    report_run.build(
        folder / "run", methods=("none", "prompt"), concepts=3, prompts=("a cat",), size=8
    )


def _bundle(folder: Path) -> None:
    _run(folder)
    pack(folder / "run", folder / "mine.zip")
    shutil.rmtree(folder / "run")


def _bundle_files(folder: Path) -> None:
    _bundle(folder)
    with ZipFile(folder / "mine.zip") as archive:
        archive.extractall(folder / "files")


def _unpack_forged(folder: Path) -> None:
    files = sorted(path for path in (folder / "files").rglob("*") if path.is_file())
    changes = {path.relative_to(folder / "files").as_posix(): path.read_bytes() for path in files}
    changes.pop(edited_bundle.MANIFEST)
    edited_bundle.forge(folder / "mine.zip", changes)
    command("report", str(folder / "mine.zip"))


def _kept_run(folder: Path) -> None:
    shutil.copytree(KEPT / "runs" / "kept", folder / "run", ignore=lambda *_: ["maps"])


def _votes(folder: Path) -> None:
    _kept_run(folder)
    with (folder / "run" / "judged" / "clip-96a2982d.csv").open(encoding="utf-8") as file:
        (folder / "votes.csv").write_text(file.read())


def _study(folder: Path) -> None:
    study_exports.key().write(folder / "key.csv")
    (folder / "answers-0.csv").write_bytes(study_exports.htbench()[0])
    _import(folder, folder / "answers-0.csv", "htbench")
    (folder / "study" / "about.toml").write_text('question = "Which?"\n')
    (folder / "answers-0.csv").unlink()


def _import(folder: Path, file: Path, profile: str = "") -> None:
    words = ["--study", str(folder / "study"), "--secret", str(folder / "own.secret")]
    words += ["--key", str(folder / "key.csv"), *(["--profile", profile] if profile else [])]
    command("study", "import", str(file), *words)


def _pairs(folder: Path) -> None:
    from htbench.study.ask.pair_file import PickedPair, PickedPicture

    pictures = []
    for colour in ("red", "blue"):
        file = io.BytesIO()
        Image.new("RGB", (8, 8), colour).save(file, "PNG")
        pictures.append(PickedPicture.of(colour, 1.0, file.getvalue()))
    made = [
        PickedPair(prompt="horse", seed=seed, concept="c", words="in red", pictures=tuple(pictures))
        for seed in range(2)
    ]
    (folder / "pairs.jsonl").write_text("".join(f"{pair.model_dump_json()}\n" for pair in made))


def _export_pairs(folder: Path) -> None:
    few = ["--raters", "2", "--votes", "2", "--size", "8", "--study", str(folder / "study")]
    command("study", "export", str(folder / "pairs.jsonl"), *few)


def _exports(folder: Path) -> None:
    study_exports.key().write(folder / "key.csv")
    study_exports.write_all(folder)


def _import_all(folder: Path) -> None:
    for file in sorted(folder.glob("*-0.*")):
        profile = file.stem.rpartition("-")[0]
        if file.stat().st_mtime_ns != MARK:
            command("study", "sniff", str(file))
            _import(folder, file, profile)


MARK = 10**18
"""Time of modification of files that are as they were built."""


def _interventions(folder: Path) -> None:
    shutil.copytree(KEPT / "interventions", folder, dirs_exist_ok=True)


def _load_interventions(folder: Path) -> None:
    from htbench import load_intervention

    for path in folder.glob("*.safetensors"):
        if path.stat().st_mtime_ns != MARK:
            load_intervention(path)


def _trained(folder: Path) -> None:
    for name in ("trained.toml", "trained.safetensors"):
        shutil.copy(KEPT / name, folder)


def _load_trained(folder: Path) -> None:
    from htbench.steering import baseline
    from htbench.steering.method import load_or_train
    from kit.toy import Toy

    card = baseline.load_card(str(folder / "trained.toml"))
    load_or_train(card, Toy(), [], folder=folder, seed=0)


def _reply(folder: Path) -> None:
    (folder / "reply.json").write_text(json.dumps(REPLY))


def _read_reply(folder: Path) -> None:
    from htbench.judging.judges import reply

    text = (folder / "reply.json").read_bytes().decode("utf-8", "replace")
    verdict, usage = reply.read(text), reply.usage(text)
    assert verdict.outcome
    assert verdict.reason.encode() is not None
    counts = [usage] if usage is None else [usage.asked, usage.cached, usage.replied]
    assert all(count is None or 0 <= count < 2**40 for count in counts)


def _scorer(folder: Path) -> None:
    (folder / "words.toml").write_text(SCORER)
    lines: list[dict[str, object]] = [{"name": "words", "version": "1", "weights": "0"}]
    lines += [{"id": k, "score": 0.5} for k in range(3)]
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _measure(folder: Path) -> None:
    from htbench.scorers import scorer
    from htbench.scorers.scorer import ScorerInput

    loaded = scorer.load(str(folder / "words.toml"), "cpu")
    item = {"target": "t", "concept": "c", "prompt": "p"}
    inputs = [ScorerInput(image=folder, unsteered=folder, **item) for _ in range(3)]
    try:
        assert len(loaded.measure(inputs)) == 3
    finally:
        getattr(loaded, "close", lambda: None)()


def _environment(folder: Path) -> None:
    names = ("METHODS", "STRENGTHS", "BATCH", "PROMPTS", "LIMIT", "TUNE_STRENGTH", "SEED", "NAME")
    values = ("prompt,none", "0,1", "8", "2", "3", "false", "0", "x")
    lines = [f"HTBENCH_{name}={value}" for name, value in zip(names, values, strict=True)]
    (folder / "environment.txt").write_text("\n".join(lines))


def _run_with_environment(folder: Path) -> None:
    text = (folder / "environment.txt").read_bytes().decode("utf-8", "surrogateescape")
    pairs = [line.partition("=")[::2] for line in text.replace("\0", "").split("\n")]
    own = {name: value for name, value in pairs if name.startswith("HTBENCH_")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        command("run", "quickstart", "--print-plan")


def _weights(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"sample_size": 64, "layers": [1, 2]}))
    index = {"metadata": {"total_size": 9}, "weight_map": {"a": "config.json", "b": "none.bin"}}
    (folder / "model.index.json").write_text(json.dumps(index))
    save_file({"a": torch.zeros(3)}, folder / "weights.safetensors", {"format": "pt"})
    torch.save({"a": torch.zeros(3)}, folder / "weights.bin")


def _read_weights(folder: Path) -> None:
    from htbench.core import weights

    for use in (
        lambda: weights.read_config(folder / "config.json"),
        lambda: weights.missing_files(folder, ["*.index.json"]),
        lambda: weights.read(folder / "weights.safetensors"),
        lambda: weights.read(folder / "weights.bin"),
    ):
        with suppress(HtbenchError):
            use()


def _request(folder: Path) -> None:
    run = report_run.build(folder / "run", methods=("none",), concepts=1, prompts=("a",), size=8)
    (image,) = list((run / "images").iterdir())[:1]
    head = "Host: 127.0.0.1:80\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    (folder / "request.txt").write_text(f"GET /images/{image.name} HTTP/1.1\r\n{head}")


def _serve(folder: Path) -> None:
    """Send the bytes to a server of the report, which must go on serving."""
    live = LiveReport(folder=folder / "run")
    live.files = {"": b"page"}
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), make_server(live, 0) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        for data in ((folder / "request.txt").read_bytes(), HEALTHY_REQUEST):
            with socket.create_connection(("127.0.0.1", server.server_port), 5) as client:
                client.settimeout(5)
                with suppress(OSError):
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)
                reply = b""
                with suppress(ConnectionError):
                    while part := client.recv(1 << 16):
                        reply += part
        server.shutdown()
    assert reply.startswith(b"HTTP/1.1 200"), reply[:200]
    assert "Traceback" not in errors.getvalue(), errors.getvalue()[-2000:]


HEALTHY_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\nConnection: close\r\n\r\n"


def _prices(path: Path) -> None:
    from htbench.judging import budget
    from htbench.judging.judge import Usage

    for price in budget.read_prices(path).models.values():
        assert price.cost(Usage(asked=1000, cached=10, replied=10)) >= 0


def _read_run(folder: Path) -> None:
    command("check", "run", str(folder))
    command("diff", str(folder), str(folder))
    command("list", "runs", "--runs-dir", str(folder.parent))


def _import_again(folder: Path) -> None:
    (folder / "more.csv").write_bytes(study_exports.htbench()[0])
    _import(folder, folder / "more.csv", "htbench")


def _list_concepts(name: str) -> Callable[[Path], None]:
    return lambda folder: command("list", "concepts", "--concept-set", str(folder / name))


def _report(folder: Path) -> None:
    command("report", str(folder / "run"))


def _judge_offline(folder: Path, *more: str) -> None:
    command("judge", str(folder / "run"), "--judge", "clip", "--offline", *more)


KINDS = [
    Kind("concepts of a CSV", 1, _words, "words/*.csv", _list_concepts("words")),
    Kind("card of a concept set", 1, _words, "words/card.toml", _list_concepts("words")),
    Kind("concepts of JSON lines", 1, _concept_lines, "mine.jsonl", _list_concepts("mine.jsonl")),
    Kind("archive of references", 1, _references, "own/*.zip", library(_open_references)),
    Kind("pictures", 4, _pictures, "*", library(_open_pictures)),
    Kind("plan", 2, _write(plan__toml=PLAN), "plan.toml",
         lambda folder: command("run", str(folder / "plan.toml"), "--print-plan")),
    Kind("environment", 2, _environment, "environment.txt", _run_with_environment),
    Kind("card of a method", 3, _write(card__toml=CARD), "card.toml",
         lambda folder: command("show", "method", str(folder / "card.toml"))),
    Kind("interventions", 6, _interventions, "*.safetensors", library(_load_interventions)),
    Kind("trained file", 3, _trained, "trained.*", library(_load_trained)),
    Kind("files of weights", 3, _weights, "*", library(_read_weights)),
    Kind("answers of a scorer", 2, _scorer, "answers.jsonl", library(_measure)),
    Kind("card of a scorer", 1, _scorer, "words.toml", library(_measure)),
    Kind("record of a run", 0.5, _run, "run/run.sqlite", lambda folder: _read_run(folder / "run")),
    Kind("report of a run", 0.3, _run, "run/run.sqlite", _report),
    Kind("pictures of a run", 0.1, _run, "run/images/*", _report),
    Kind("bundle", 1, _bundle, "mine.zip",
         lambda folder: command("unpack", str(folder / "mine.zip"), "--runs-dir", str(folder))),
    Kind("files of a bundle", 0.3, _bundle_files, "files/run/*/*", _unpack_forged),
    Kind("request to the server of a report", 0.5, _request, "request.txt", _serve),
    Kind("card of a judge", 4, _judge, "judge/*", library(_use_judge)),
    Kind("prices", 3, _write(prices__toml=PRICES), "prices.toml",
         library(lambda folder: _prices(folder / "prices.toml"))),
    Kind("reply of a judge", 12, _reply, "reply.json", _read_reply),
    Kind("ledger", 0.3, _kept_run, "run/judge.sqlite", _judge_offline),
    Kind("verdicts of a run", 0.05, _kept_run, "run/judged/*", _report),
    Kind("votes of people", 0.5, _votes, "votes.csv",
         lambda folder: _judge_offline(folder, "--humans", str(folder / "votes.csv"))),
    Kind("exports of platforms", 2, _exports, "*-0.*", _import_all),
    Kind("pairs of a study", 1, _pairs, "pairs.jsonl", _export_pairs),
    Kind("key of a study", 1, _study, "key.csv", _import_again),
    Kind("files of a study at import", 1, _study, "study/*", _import_again),
    Kind("files of a study", 0.5, _study, "study/*", lambda folder: command(
        "study", "report", "--study", str(folder / "study"), "--rounds", "100")),
]  # fmt: skip

"""Speed and memory of tournaments, and the verdicts of the embedded world's judge.

python benchmarks/judge.py rate         calls per second against a loopback server that answers at
                                        once
python benchmarks/judge.py memory       20,000 pairs planned, asked of an instant judge, audited and
                                        ranked
python benchmarks/judge.py clip         20,000 judgements by `clip`: memory of the libraries, and of
                                        the judging itself
python benchmarks/judge.py world RUN    a run's tournament by `clip`, as the tables of
                                        docs/judging.md
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from kit import judge_servers, judged_run

from htbench.core.display import Display
from htbench.judging import card as judge_cards
from htbench.judging.audit import JudgeAudit
from htbench.judging.leaderboard import TournamentResult, read_result
from htbench.judging.ledger import Ledger
from htbench.judging.prepare import TournamentOptions, prepare_tournament
from htbench.judging.schedule import ScheduleSettings
from htbench.stats.durations import Interval
from htbench.stats.ranking.leaderboard import LeaderboardEntry


def _serve(pipe: Connection) -> None:
    instant = judge_servers.Endpoint(mind=judge_servers.first_picker, keep_bodies=0)
    with judge_servers.serving(instant) as endpoint:
        pipe.send(endpoint.url)
        pipe.recv()
        pipe.send(endpoint.calls)


def rate(pairs: int, folder: Path) -> None:
    """Print calls per second by the clock and by the processor, with JPEGs of 512 px.

    A call counts from its key to its verdict on disk.
    """
    pipe, server_pipe = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(server_pipe,))
    server.start()
    run = judged_run.build(folder / "run", prompts=[f"prompt {k}" for k in range(1 + pairs // 72)])
    card = judged_run.card(folder / "judge", pipe.recv())
    pictures = card.pictures.model_copy(update={"size": 512, "format": "jpeg"})
    card = card.model_copy(update={"pictures": pictures})
    with Ledger.open(run) as ledger:
        tournament = judged_run.tournament(run, ledger, card, pairs=pairs)
        began, processor = time.perf_counter(), time.process_time()
        tournament.play()
        wall, processor = time.perf_counter() - began, time.process_time() - processor
    pipe.send("enough")
    calls = pipe.recv()
    server.join()
    busy = f"{processor:.1f} s of this process's processor time, {calls / processor:.0f}/s of it"
    print(f"{calls:,} calls in {wall:.1f} s, {calls / wall:.0f}/s; {busy}")


def memory(pairs: int, folder: Path) -> None:
    """Print peak memory and time of a large tournament, whose judge answers from this process."""
    run = judged_run.build(folder / "run", prompts=[f"prompt {k}" for k in range(1 + pairs // 72)])
    card = judged_run.card(folder / "judge", "http://127.0.0.1:9/v1")
    before, began = _peak(), time.perf_counter()
    with Ledger.open(run) as ledger:
        tournament = judged_run.tournament(run, ledger, card, pairs=pairs)
        planned = time.perf_counter()
        body = json.dumps(judge_servers.completion("A"))
        for call in tournament.ledger.pending(tournament.id):
            answer = judge_servers.answer(call.key, body)
            ledger.add_answer(
                answer,
                tournament.judge.read(body),
                model="scripted",
                endpoint="",
                parser=tournament.judge.parser,
            )
        asked = time.perf_counter()
        result = read_result(ledger, tournament.id)
        ranked = time.perf_counter()
    counts = f"{sum(result.criteria[0].match_outcomes.values()):,} pairs, {result.calls:,} calls"
    print(f"{counts}; peak memory {before:.0f} MB before, {_peak():.0f} MB after")
    seconds = f"planned in {planned - began:.1f} s, written in {asked - planned:.1f} s"
    print(f"{seconds}, ranked and audited in {ranked - asked:.1f} s")


def clip(pairs: int, folder: Path) -> None:
    """Print peak memory before, with the encoder's libraries, and after a tournament by `clip`."""
    prompts = [f"prompt {k}" for k in range(1 + pairs // 72)]
    builder = multiprocessing.get_context("spawn").Process(
        target=judged_run.build, args=(folder / "run",), kwargs={"prompts": prompts}
    )
    builder.start()
    builder.join()
    card = judge_cards.load_judge_card("clip").with_model("emoji-clip-a")
    peaks, began = [_peak()], time.perf_counter()
    import open_clip  # noqa: F401 - its memory, and that of torch, is measured

    peaks.append(_peak())
    with Ledger.open(folder / "run") as ledger:
        tournament = judged_run.tournament(folder / "run", ledger, card, pairs=pairs)
        peaks.append(_peak())
        tournament.play()
        calls = read_result(ledger, tournament.id).calls
    peaks.append(_peak())
    stages = ("before", "with torch and open_clip", "with the encoder", "after judging")
    memory = ", ".join(f"{peak:.0f} MB {stage}" for peak, stage in zip(peaks, stages, strict=True))
    print(f"{calls:,} calls in {time.perf_counter() - began:.0f} s; peak memory {memory}")


def _peak() -> float:
    """Peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def world(run: Path, pairs: int | None, methods: tuple[str, ...]) -> None:
    """Print a run's tournament by the judge `clip` as Markdown; of all methods if none is named."""
    card = judge_cards.load_judge_card("clip")
    options = TournamentOptions(methods=methods, schedule=ScheduleSettings(pairs=pairs))
    with Ledger.open(run) as ledger:
        tournament = prepare_tournament(run, ledger, card, options, Display())
        tournament.play()
        print(markdown(read_result(ledger, tournament.id)))


def markdown(result: TournamentResult) -> str:
    """Leaderboards and audits as tables."""
    judge, model, label = (result.metadata[name] for name in ("judge", "model", "label"))
    lines = [f"Judge `{judge}` with `{model}`. {label}", ""]
    for criterion in result.criteria:
        ranking = criterion.ranking
        lines += [f"**{criterion.name}**, {sum(criterion.match_outcomes.values()):,} pairs", ""]
        lines += [
            "| method | rank | tier | rating | win rate | preferred to `prompt` |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            _line(entry, criterion.preference_rate(entry.name, "prompt"))
            for entry in (ranking.entries if ranking else ())
        ]
        lines += [
            f"| `{method}`° | | | | {share:.3f} | |" for method, share in criterion.circular.items()
        ]
        lines += ["", _audit_line(criterion.audit), ""]
    return "\n".join(lines)


def _line(entry: LeaderboardEntry, against_prompt: Interval | None) -> str:
    rating = f"{entry.limit} all" if entry.limit else _interval(entry.rating, decimals=2)
    cells = [
        f"`{entry.name}`",
        entry.rank_range,
        entry.tier,
        rating,
        _interval(entry.win_rate),
        _interval(against_prompt) if against_prompt else "",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def _interval(interval: Interval, *, decimals: int = 3) -> str:
    value, low, high = (
        f"{end:.{decimals}f}" for end in (interval.value, interval.low, interval.high)
    )
    return f"{value} [{low}, {high}]"


def _audit_line(audit: JudgeAudit) -> str:
    parts = [
        f"same in both orders {audit.consistent.value:.3f}",
        f"same when asked again {audit.stable.value:.3f}",
        f"picture over noise {audit.noise.right}/{audit.noise.accuracy.of}",
        f"right concept over wrong {audit.wrong_concept.right}/{audit.wrong_concept.accuracy.of}",
        f"fooled by text {audit.text.wrong}/{audit.text.accuracy.of}",
        f"circles {audit.cycles.value:.3f}, {audit.cycles_expected:.3f} expected",
    ]
    return f"Audit: {'; '.join(parts)}. Flags: {', '.join(audit.flags) or 'none'}."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["rate", "memory", "clip", "world"])
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--method", action="append", default=[])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.what == "world":
            run = args.run or parser.error("world needs a run's folder")
            world(run, args.pairs, tuple(args.method))
        elif args.what == "rate":
            rate(args.pairs or 500, Path(folder))
        elif args.what == "clip":
            clip(args.pairs or 17_000, Path(folder))
        else:
            memory(args.pairs or 20_000, Path(folder))


if __name__ == "__main__":
    main()

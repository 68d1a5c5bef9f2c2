"""How fast questions are asked, how much memory many pairs take, and what the judge of the embedded world finds.

python benchmarks/judge.py rate             calls a second against a loopback server that answers at once
python benchmarks/judge.py memory           20,000 pairs planned, asked of an instant judge, audited and ranked
python benchmarks/judge.py world RUN        a run's tournament by `clip`, as the tables of docs/judging.md
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
from htbench.stats.durations import Interval
from htbench.stats.ranking.leaderboard import LeaderboardEntry


def _serve(pipe: Connection) -> None:
    with judge_servers.serving(
        judge_servers.Endpoint(mind=judge_servers.first_picker, keep_bodies=0)
    ) as endpoint:
        pipe.send(endpoint.url)
        pipe.recv()
        pipe.send(endpoint.calls)


def rate(pairs: int, folder: Path) -> None:
    """Print calls a second by the clock and by the processor, from key to verdict on disk, with 512 px JPEGs."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,))
    server.start()
    run = judged_run.build(folder / "run", prompts=[f"prompt {k}" for k in range(1 + pairs // 72)])
    card = judged_run.card(folder / "judge", here.recv())
    card = card.model_copy(
        update={"pictures": card.pictures.model_copy(update={"size": 512, "format": "jpeg"})}
    )
    with Ledger.open(run) as ledger:
        tournament = judged_run.tournament(run, ledger, card, pairs=pairs)
        began, processor = time.perf_counter(), time.process_time()
        tournament.play()
        wall, processor = time.perf_counter() - began, time.process_time() - processor
    here.send("enough")
    calls = here.recv()
    server.join()
    print(
        f"{calls:,} calls in {wall:.1f} s, {calls / wall:.0f}/s; {processor:.1f} s of this process's processor time, {calls / processor:.0f}/s of it"
    )


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
        found = read_result(ledger, tournament.id)
        done = time.perf_counter()
    print(
        f"{sum(found.criteria[0].match_outcomes.values()):,} pairs, {found.calls:,} calls; peak memory {before:.0f} MB before, {_peak():.0f} MB after"
    )
    print(
        f"planned in {planned - began:.1f} s, written in {asked - planned:.1f} s, ranked and audited in {done - asked:.1f} s"
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def world(run: Path, pairs: int | None, methods: tuple[str, ...]) -> None:
    """Print a run's tournament by the judge `clip` as Markdown; of all methods if none is named."""
    with Ledger.open(run) as ledger:
        tournament = prepare_tournament(
            run,
            ledger,
            judge_cards.load_judge_card("clip"),
            TournamentOptions(pairs=pairs, methods=methods),
            Display(),
        )
        tournament.play()
        print(markdown(read_result(ledger, tournament.id)))


def markdown(found: TournamentResult) -> str:
    """Leaderboards and audits as tables."""
    lines = [
        f"Judge `{found.metadata['judge']}` with `{found.metadata['model']}`. {found.metadata['label']}",
        "",
    ]
    for criterion in found.criteria:
        ranking = criterion.ranking
        lines += [f"**{criterion.name}**, {sum(criterion.match_outcomes.values()):,} pairs", ""]
        lines += [
            "| method | rank | tier | rating | win rate | preferred to `prompt` |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            _line(one, criterion.preference_rate(one.name, "prompt"))
            for one in (ranking.entries if ranking else ())
        ]
        lines += [
            f"| `{method}`° | | | | {share:.3f} | |" for method, share in criterion.circular.items()
        ]
        lines += ["", _audited(criterion.audit), ""]
    return "\n".join(lines)


def _line(one: LeaderboardEntry, against: Interval | None) -> str:
    rating = (
        f"{one.limit} all"
        if one.limit
        else f"{one.rating.value:.2f} [{one.rating.low:.2f}, {one.rating.high:.2f}]"
    )
    return f"| `{one.name}` | {one.rank_range} | {one.tier} | {rating} | {_share(one.win_rate)} | {_share(against) if against else ''} |"


def _share(found: Interval) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _audited(audit: JudgeAudit) -> str:
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
    parser.add_argument("what", choices=["rate", "memory", "world"])
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--method", action="append", default=[])
    chosen = parser.parse_args(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        if chosen.what == "world":
            world(
                chosen.run or parser.error("world needs a run's folder"),
                chosen.pairs,
                tuple(chosen.method),
            )
        elif chosen.what == "rate":
            rate(chosen.pairs or 500, Path(folder))
        else:
            memory(chosen.pairs or 20_000, Path(folder))


if __name__ == "__main__":
    main()

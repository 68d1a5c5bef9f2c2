"""Write the open concept set from the lists in its folder `source`; the same bytes each time.

Run it as `python -m htbench.steering.open_concepts`. Each list is one kind of concept: its first
line is the template, and each further line has a concept, which replaces `{name}`, and paraphrases
of the whole text. Only concepts that resemble no other and share no word with a neutral prompt are
held out; the rest are for training.
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from htbench.core import content, reading
from htbench.steering import leakage
from htbench.steering.concept import Concept, Split

N_TEST, N_DEV = 167, 83
LEADING_WORDS = re.compile(
    r"^(?:(?:a|an|the|in|on|at|as|of|by|near a|under|beneath|with|during|after|inside|among|pair|"
    r"shades) )+"
)
ConceptRow = dict[str, object]


def rows(folder: Path) -> list[ConceptRow]:
    """The rows of `concepts.jsonl`, mixed so that any beginning of a split has all kinds."""
    concepts = [
        concept
        for path in sorted((folder / "source").glob("*.txt"))
        for concept in _read_kind(path)
    ]
    prompts = [str(prompt["text"]) for _, prompt in reading.json_lines(folder / "prompts.jsonl")]
    entries: list[tuple[float, str, ConceptRow]] = []
    for concept, split, position in _assign_splits(concepts, prompts):
        row: ConceptRow = {
            "id": concept.id,
            "kind": concept.kind,
            "split": split,
            "text": concept.text,
            "template": concept.template,
            "paraphrases": list(concept.paraphrases),
        }
        entries.append((position, concept.id, row))
    return [row for *_, row in sorted(entries, key=lambda entry: entry[:2])]


def write(folder: Path) -> None:
    """Write `concepts.jsonl`."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows(folder)]
    (folder / "concepts.jsonl").write_text("".join(lines), encoding="utf-8")


def _read_kind(path: Path) -> Iterable[Concept]:
    template, *lines = reading.read_text(path).splitlines()
    for line in lines:
        name, *paraphrases = line.split(" | ")
        filled = template.replace("{name}", name)
        slug = "-".join(re.findall(r"\w+", LEADING_WORDS.sub("", name).replace("'", "").casefold()))
        text = filled.removeprefix("{prompt}").removeprefix(",").strip()
        yield Concept(
            id=f"{path.stem}/{slug}",
            kind=path.stem,
            text=text,
            template=filled,
            paraphrases=tuple(paraphrases),
        )


def _assign_splits(
    concepts: list[Concept], prompts: list[str]
) -> Iterable[tuple[Concept, Split, float]]:
    """Each concept with its split and its position in the split, between 0 and 1.

    Kinds have their share of the held-out concepts, which are drawn by a digest of the id.
    """
    near = {concept.id for pair in leakage.neighbours(concepts) for concept in pair}
    n_test, n_held_out = _apportion(concepts, N_TEST), _apportion(concepts, N_TEST + N_DEV)
    for kind, test in n_test.items():
        free: list[Concept] = []
        train_only: list[Concept] = []
        members_of_kind = [concept for concept in concepts if concept.kind == kind]
        for concept in sorted(members_of_kind, key=lambda concept: content.digest(concept.id)):
            overlaps = concept.id in near or leakage.prompts_sharing_a_word(concept, prompts)
            (train_only if overlaps else free).append(concept)
        parts: dict[Split, list[Concept]] = {
            "test": free[:test],
            "dev": free[test : n_held_out[kind]],
            "train": free[n_held_out[kind] :] + train_only,
        }
        for split, members in parts.items():
            yield from (
                (concept, split, (k + 0.5) / len(members)) for k, concept in enumerate(members)
            )


def _apportion(concepts: list[Concept], total: int) -> dict[str, int]:
    """`total` divided among kinds in proportion to their sizes, by largest remainders."""
    sizes: dict[str, int] = defaultdict(int)
    for concept in concepts:
        sizes[concept.kind] += 1
    exact = {kind: total * size / len(concepts) for kind, size in sizes.items()}
    ranked = sorted(exact, key=lambda kind: (int(exact[kind]) - exact[kind], kind))
    rounded_up = set(ranked[: total - sum(map(int, exact.values()))])
    return {kind: int(share) + (kind in rounded_up) for kind, share in exact.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=content.folder("concepts") / "open")
    write(parser.parse_args().folder)

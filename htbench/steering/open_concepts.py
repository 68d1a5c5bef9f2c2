"""`python -m htbench.steering.open_concepts`: writes the open concept set from the lists in its folder `source`; the same bytes each time.

A list is one kind. Its first line is the template; each further line a concept, what stands for `{name}`, and paraphrases of
the whole text. Held out are only concepts that resemble no other and share no word with a neutral prompt: the rest train.
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from htbench.core import content
from htbench.steering import leakage
from htbench.steering.concept import Concept, Split

N_TEST, N_DEV = 167, 83
LEADING_WORDS = re.compile(
    r"^(?:(?:a|an|the|in|on|at|as|of|by|near a|under|beneath|with|during|after|inside|among|pair|shades) )+"
)
ConceptRow = dict[str, object]


def rows(folder: Path) -> list[ConceptRow]:
    """The rows of `concepts.jsonl`, kinds mixed so that any beginning of a split has all of them."""
    concepts = [
        concept
        for path in sorted((folder / "source").glob("*.txt"))
        for concept in _read_kind(path)
    ]
    prompts = [
        json.loads(line)["text"]
        for line in (folder / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    placed: list[tuple[float, str, ConceptRow]] = []
    for concept, split, place in _assign_splits(concepts, prompts):
        words = {
            "text": concept.text,
            "template": concept.template,
            "paraphrases": list(concept.paraphrases),
        }
        placed.append(
            (place, concept.id, {"id": concept.id, "kind": concept.kind, "split": split, **words})
        )
    return [row for *_, row in sorted(placed, key=lambda each: each[:2])]


def write(folder: Path) -> None:
    """Write `concepts.jsonl`."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows(folder)]
    (folder / "concepts.jsonl").write_text("".join(lines), encoding="utf-8")


def _read_kind(path: Path) -> Iterable[Concept]:
    template, *lines = path.read_text(encoding="utf-8").splitlines()
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
    """Each concept's split, and its place in it between 0 and 1; kinds have their share of what is held out, drawn by a digest of the id."""
    near = {concept.id for pair in leakage.neighbours(concepts) for concept in pair}
    shares = _apportion(concepts, N_TEST), _apportion(concepts, N_TEST + N_DEV)
    for kind, test in shares[0].items():
        free: list[Concept] = []
        bound: list[Concept] = []
        for concept in sorted(
            (c for c in concepts if c.kind == kind), key=lambda c: content.digest(c.id)
        ):
            (
                bound
                if concept.id in near or leakage.prompts_sharing_a_word(concept, prompts)
                else free
            ).append(concept)
        parts: dict[Split, list[Concept]] = {
            "test": free[:test],
            "dev": free[test : shares[1][kind]],
            "train": free[shares[1][kind] :] + bound,
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

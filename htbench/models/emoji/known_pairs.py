"""`python -m htbench.models.emoji.known_pairs FOLDER`: writes the calibration set of judges.

A known pair is two rendered scenes of which one is, by construction, the right answer to a
judge's question by one criterion.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from htbench.models.emoji.scenes import LATENT, Scene, caption, choices, layout

N_PAIRS = 10
"""Pairs per criterion and difficulty."""
_CANDIDATES, _DRAWS = 300, 10_000
SHARES = (0.8, 0.4)
"""Shares of the right picture's scene in a blend with the wrong one's, right and wrong."""
_NOUNS = (
    "airplane", "banana", "bell", "bus", "butterfly", "camera", "candle", "carrot", "castle",
    "cat", "cherries", "cow", "crab", "crown", "dog", "dolphin", "drum", "duck", "fire",
    "fox", "frog", "guitar", "hamburger", "helicopter", "house", "key", "koala", "laptop",
    "lemon", "lion", "lobster", "mushroom", "octopus", "owl", "panda", "penguin", "pizza",
    "rabbit", "rocket", "sailboat", "scissors", "snail", "snake", "snowman", "strawberry",
    "sun", "sunflower", "tomato", "tractor", "train", "trophy", "turtle", "volcano",
    "watermelon",
)  # fmt: skip
"""Nouns whose drawings nobody confuses."""
_COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "black")
_PATTERNS = ("stripes", "dots", "checks")
_VALUES: dict[str, Sequence[str]] = {
    "companion": _NOUNS,
    "background": (*_COLOURS, *(f"{colour} {each}" for colour in _COLOURS for each in _PATTERNS)),
    "frame": _COLOURS,
    "weather": ("snowy", "rainy", "stormy", "starry"),
    "style": ("pixelated", "blurred", "sketch", "grayscale", "negative", "sepia", "halftone"),
}
_SET = """\
name = "emoji pairs"
version = "1"
licence = "Apache-2.0 (icons: Noto Emoji) and MIT (icons: Fluent Emoji)"
about = \"\"\"
Pairs of rendered emoji scenes, of which one is by construction the right answer by one criterion, \
in three difficulties. Neither file size nor brightness, saturation or contrast tells which. Made \
by htbench.models.emoji.known_pairs.\"\"\"
"""
_KEEPING = ("companion", "background", "frame", "weather")
"""Kinds of concept that leave the drawing of the noun as it is."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A pair that the set may hold."""

    criterion: str
    difficulty: str
    kind: str
    concept: str
    prompt: str
    right: Image.Image
    wrong: Image.Image

    @cached_property
    def differences(self) -> tuple[float, ...]:
        """Signs of the differences right less wrong, of what a judge must not decide by.

        File sizes, brightness, saturation and contrast.
        """
        pairs = zip(_surface(self.right), _surface(self.wrong), strict=True)
        return tuple(float(np.sign(right - wrong)) for right, wrong in pairs)


class Composer:
    """Draws candidates from one generator of random numbers."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def candidate(self, criterion: str, difficulty: str) -> Candidate:
        """A candidate for one cell of the set."""
        random = self._random
        latent = random.standard_normal(LATENT)
        kinds = _KEEPING if criterion == "preservation" else tuple(_VALUES)
        kind = str(random.choice(kinds))
        prompt, other_noun, companion = random.choice(_NOUNS, 3, replace=False).tolist()
        value = companion if kind == "companion" else str(random.choice(_VALUES[kind]))
        plain = Scene(noun=prompt)
        drawn = _Cell(
            random=random,
            latent=latent,
            kind=kind,
            value=value,
            plain=plain,
            steered=replace(plain, **{kind: value}),
            other_noun=other_noun,
            background=str(random.choice([each for each in _COLOURS if each not in value])),
        )
        right, wrong = CELLS[criterion][difficulty](drawn)
        return Candidate(
            criterion=criterion,
            difficulty=difficulty,
            kind=kind,
            concept=caption({kind: value}),
            prompt=prompt,
            right=right,
            wrong=wrong,
        )

    def choose(self, candidates: Sequence[Candidate], taken: set[str]) -> list[Candidate]:
        """`N_PAIRS` candidates of different words, balanced in what judges must not decide by.

        Raises:
            ValueError: if too few have words that are not taken.
        """
        free = [each for each in candidates if not taken & {each.concept, each.prompt}]
        if len(free) < N_PAIRS:
            raise ValueError(f"{len(free)} candidates are left for {N_PAIRS} pairs")
        signs = np.array([each.differences for each in free])
        best, least = list[Candidate](), np.inf
        for _ in range(_DRAWS):
            drawn = self._random.choice(len(free), N_PAIRS, replace=False)
            imbalance = float(np.abs(signs[drawn].sum(0)).max())
            if imbalance < least and _is_varied(chosen := [free[k] for k in drawn]):
                best, least = chosen, imbalance
        return best


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """The parts that one candidate is composed of."""

    random: np.random.Generator
    latent: np.ndarray
    kind: str
    value: str
    plain: Scene
    steered: Scene
    other_noun: str
    background: str
    """A background for scenes of which no question is about one."""

    def draw(self, scene: Scene) -> Image.Image:
        return Image.fromarray(scene.draw(self.latent))

    def with_extra(self, scene: Scene) -> Scene:
        """The scene, in half of all cases with a frame or weather that no question is about."""
        kind = str(self.random.choice([each for each in ("frame", "weather") if each != self.kind]))
        value = str(self.random.choice(_VALUES[kind]))
        return replace(scene, **{kind: value}) if self.random.random() < 0.5 else scene

    def on_background(self, scene: Scene) -> Scene:
        """The scene on the pair's background, unless the concept is one."""
        return scene if self.kind == "background" else replace(scene, background=self.background)

    def other(self, scene: Scene) -> Scene:
        """The scene with another noun."""
        return replace(scene, noun=self.other_noun)

    def blends(self, right: Scene, wrong: Scene) -> tuple[Image.Image, Image.Image]:
        """Two blends of scenes; the first has more of `right`."""
        pictures = self.draw(wrong), self.draw(right)
        more, less = (Image.blend(*pictures, share) for share in SHARES)
        return more, less


_Composition = Callable[[_Cell], tuple[Image.Image, Image.Image]]
"""Draws a right and a wrong picture."""


def _is_varied(pairs: Sequence[Candidate]) -> bool:
    """True if no word comes twice and no kind of concept in more than four of ten pairs."""
    words = {word for each in pairs for word in (each.concept, each.prompt)}
    most = max(Counter(each.kind for each in pairs).values())
    return len(words) == 2 * len(pairs) and most <= 0.4 * len(pairs)


def _absent(cell: _Cell) -> tuple[Image.Image, Image.Image]:
    return cell.draw(cell.with_extra(cell.steered)), cell.draw(cell.with_extra(cell.plain))


def _neighbour(cell: _Cell) -> tuple[Image.Image, Image.Image]:
    wrong = replace(cell.plain, **{cell.kind: _near_value(cell)})
    return cell.draw(cell.steered), cell.draw(wrong)


def _near_value(cell: _Cell) -> str:
    """Another value of the kind; of a pattern, the same pattern or colour where there are both."""
    parts = cell.value.split() if cell.kind == "background" else []
    used = {cell.value, cell.plain.noun}
    others = [each for each in _VALUES[cell.kind] if each not in used]
    if len(parts) == 2:
        others = [each for each in others if len(set(each.split()) & set(parts)) == 1]
        others = [each for each in others if len(each.split()) == 2]
    elif parts:
        others = [each for each in others if len(each.split()) == 1]
    return str(cell.random.choice(others))


def _faint(cell: _Cell) -> tuple[Image.Image, Image.Image]:
    return cell.blends(cell.on_background(cell.steered), cell.on_background(cell.plain))


def _replaced(cell: _Cell) -> tuple[Image.Image, Image.Image]:
    kept, lost = cell.with_extra(cell.steered), cell.with_extra(cell.other(cell.steered))
    return cell.draw(kept), cell.draw(lost)


def _cut(cell: _Cell) -> tuple[Image.Image, Image.Image]:
    """The lower half of the noun covered, in a scene that may have more in it."""
    whole = cell.plain if cell.random.random() < 0.5 else cell.steered
    image = np.array(cell.draw(cell.with_extra(cell.steered)))
    (box, *_) = layout(cell.kind == "companion", choices(cell.latent))
    middle = box.top + box.size // 2
    image[middle : box.top + box.size, box.left : box.left + box.size] = image[0, -1]
    return cell.draw(whole), Image.fromarray(image)


def _noun_faint(cell: _Cell) -> tuple[Image.Image, Image.Image]:
    return cell.blends(cell.steered, cell.other(cell.steered))


def _neither(cell: _Cell) -> tuple[Image.Image, Image.Image]:
    return cell.draw(cell.steered), cell.draw(cell.other(cell.plain))


def _one_missing(cell: _Cell) -> tuple[Image.Image, Image.Image]:
    """Either the concept or the noun is not there."""
    missing = cell.plain if cell.random.random() < 0.5 else cell.other(cell.steered)
    return cell.draw(cell.steered), cell.draw(missing)


def _both_faint(cell: _Cell) -> tuple[Image.Image, Image.Image]:
    right, wrong = cell.on_background(cell.steered), cell.other(cell.plain)
    return cell.blends(right, cell.on_background(wrong))


def _damaged(noise: float, blur: float, colour: float) -> _Composition:
    """A composition of a scene and the same with noise, blur or washed-out colours."""

    def draw(cell: _Cell) -> tuple[Image.Image, Image.Image]:
        clean = cell.draw(cell.on_background(replace(cell.steered, style=None)))
        damage = str(cell.random.choice(["noise", "blur", "colour"]))
        if damage == "noise":
            noisy = np.asarray(clean, float) + cell.random.normal(0, noise, (*clean.size, 3))
            return clean, Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        if damage == "blur":
            return clean, clean.filter(ImageFilter.GaussianBlur(blur))
        faded = ImageEnhance.Color(clean).enhance(colour)
        return clean, Image.blend(Image.new("RGB", clean.size, "gray"), faded, colour)

    return draw


CELLS: Mapping[str, Mapping[str, _Composition]] = {
    "presence": {
        "concept present or absent": _absent,
        "concept or another of its kind": _neighbour,
        "concept at 80 % or at 40 %": _faint,
    },
    "preservation": {
        "subject kept or replaced": _replaced,
        "subject whole or half covered": _cut,
        "subject at 80 % or at 40 %": _noun_faint,
    },
    "overall": {
        "subject and concept, or neither": _neither,
        "subject and concept, or one of them": _one_missing,
        "subject and concept at 80 % or at 40 %": _both_faint,
    },
    "quality": {
        "clean or badly damaged": _damaged(60, 2.5, 0.3),
        "clean or damaged": _damaged(30, 1.5, 0.5),
        "clean or slightly damaged": _damaged(15, 0.8, 0.7),
    },
}
"""Compositions by criterion and difficulty, from easy to hard."""


def compose(seed: int = 30) -> list[Candidate]:
    """All pairs of the set, the same for the same seed.

    Pairs of one criterion share neither concept nor prompt, so they are independent trials.
    """
    composer, pairs = Composer(seed), list[Candidate]()
    for criterion, cells in CELLS.items():
        taken = set[str]()
        for difficulty in cells:
            drawn = [composer.candidate(criterion, difficulty) for _ in range(_CANDIDATES)]
            chosen = composer.choose(drawn, taken)
            taken |= {word for each in chosen for word in (each.concept, each.prompt)}
            pairs += chosen
    return pairs


def write(folder: Path) -> None:
    """Write the pairs and their pictures; the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "set.toml").write_text(_SET, encoding="utf-8")
    files, rows = dict[str, bytes](), []
    for pair in compose():
        names = []
        for picture in (pair.right, pair.wrong):
            png = _png(picture)
            names.append(f"{sha256(png).hexdigest()[:16]}.png")
            files[names[-1]] = png
        row = {
            "criterion": pair.criterion,
            "difficulty": pair.difficulty,
            "concept": pair.concept,
            "prompt": pair.prompt,
            "right": names[0],
            "wrong": names[1],
        }
        rows.append(json.dumps(row, ensure_ascii=False) + "\n")
    (folder / "pairs.jsonl").write_text("".join(rows), encoding="utf-8")
    with ZipFile(folder / "pictures.zip", "w") as archive:
        for name, png in sorted(files.items()):
            archive.writestr(ZipInfo(name), png)


def _png(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _surface(picture: Image.Image) -> tuple[float, ...]:
    """Sizes as the shipped judges' files, PNG and JPEG, brightness, saturation and contrast."""
    pixels, jpeg = np.asarray(picture, float), BytesIO()
    large = picture.resize((512, 512), Image.Resampling.LANCZOS)
    large.save(jpeg, "JPEG", quality=92, subsampling=0)
    saturation = (pixels.max(2) - pixels.min(2)).mean()
    return len(_png(picture)), jpeg.tell(), pixels.mean(), saturation, pixels.std()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    write(parser.parse_args().folder)

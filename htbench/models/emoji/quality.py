"""`python -m htbench.models.emoji.quality`: how often CLIP `b` and the detector recognise what a
caption asked for, in generated images and in true ones."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image

from htbench.core import registry
from htbench.models.emoji.detector import detected, nearest_layout
from htbench.models.emoji.icons import nouns
from htbench.models.emoji.sampling import PROBABILITIES, is_held_out
from htbench.models.emoji.scenes import LATENT, Scene, caption
from htbench.models.emoji.worlds import SHIPPED
from htbench.steering.encoder import Encoder
from htbench.steering.intervention import Intervention
from htbench.steering.model import Model, Request


def held_out_scenes(count: int, *, seed: int) -> list[Scene]:
    """Scenes of a noun and one modifier, a pair that is held out of the training.

    Kinds of modifiers are as frequent as in training.
    """
    rng = np.random.default_rng(seed)
    shares = np.array(list(PROBABILITIES.values())) / sum(PROBABILITIES.values())
    kinds = rng.choice(list(PROBABILITIES), count, p=shares).tolist()
    scenes: list[Scene] = []
    for kind in sorted(kinds, key=list(PROBABILITIES).index):
        noun, value = str(rng.choice(nouns())), str(rng.choice(SHIPPED.values[kind]))
        while not is_held_out(noun, kind, value):
            noun, value = str(rng.choice(nouns())), str(rng.choice(SHIPPED.values[kind]))
        scenes.append(Scene(noun=noun, **{kind: value}))
    return scenes


def classify(images: Sequence[Image.Image], kind: str, encoder: Encoder) -> list[str]:
    """The value of `kind` with the nearest caption to each image."""
    values = nouns() if kind == "noun" else SHIPPED.values[kind]
    by_text = {caption({kind: value}): value for value in values}
    return [by_text[text] for text in nearest_texts(images, list(by_text), encoder)]


def nearest_texts(
    images: Sequence[Image.Image], texts: Sequence[str], encoder: Encoder
) -> list[str]:
    """The text that is nearest to each image."""
    return [texts[k] for k in (encoder.images(images) @ encoder.texts(texts).T).argmax(1).tolist()]


def render_scenes(scenes: Sequence[Scene], seeds: Sequence[int]) -> list[Image.Image]:
    """True images of scenes, in the layouts that the model's noise for these seeds determines."""
    noise = [
        torch.randn(LATENT, generator=torch.Generator().manual_seed(seed)).numpy() for seed in seeds
    ]
    return [
        Image.fromarray(scene.draw(latent)) for scene, latent in zip(scenes, noise, strict=True)
    ]


def generate_images(
    scenes: Sequence[Scene], seeds: Sequence[int], model: Model
) -> list[Image.Image]:
    """The model's images of the scenes' captions."""
    requests = [
        Request(prompt=scene.caption(), seed=seed, intervention=Intervention(), strength=0.0)
        for scene, seed in zip(scenes, seeds, strict=True)
    ]
    return [
        image
        for start in range(0, len(requests), 32)
        for image in model.generate(requests[start : start + 32])
    ]


def contact_sheet(
    above: Sequence[Image.Image], below: Sequence[Image.Image], *, columns: int = 15
) -> Image.Image:
    """Pairs of pictures, one above the other, in rows of `columns`."""
    side = above[0].width + 2
    page = Image.new("RGB", (columns * side, -(-len(above) // columns) * (2 * side + 6)), "white")
    for k, pair in enumerate(zip(above, below, strict=True)):
        row, column = divmod(k, columns)
        for part, picture in enumerate(pair):
            page.paste(picture, (column * side, row * (2 * side + 6) + part * side))
    return page


def correct_answers(
    scenes: Sequence[Scene], images: Sequence[Image.Image], encoder: Encoder
) -> dict[str, list[bool]]:
    """Per question, whether the answer is right for each scene to which the question applies.

    A colour is right whatever its pattern.
    """
    answers_by_kind = {kind: classify(images, kind, encoder) for kind in ("noun", *SHIPPED.values)}
    facts = [scene.facts() for scene in scenes]
    pairs = {
        kind: [(fact[kind], answers[k]) for k, fact in enumerate(facts) if kind in fact]
        for kind, answers in answers_by_kind.items()
    }
    nouns_beside = {
        f"noun beside {kind}": [
            (fact["noun"], answers_by_kind["noun"][k])
            for k, fact in enumerate(facts)
            if kind in fact
        ]
        for kind in SHIPPED.values
    }
    colours = [
        (true.split()[0], answer.split()[0])
        for true, answer in (*pairs["background"], *pairs["frame"])
    ]
    questions = {
        **{kind: pairs[kind] for kind in ("noun", "companion", "style")},
        "colour": colours,
        **nouns_beside,
        **pairs,
    }
    return {
        question: [true == answer for true, answer in answers]
        for question, answers in questions.items()
    }


def detections(
    scenes: Sequence[Scene], images: Sequence[Image.Image], plain: Sequence[Image.Image]
) -> dict[str, Float[np.ndarray, "scenes answers"]]:
    """Per kind of modifier, the detector's probability of the true value and of another one.

    `plain` are images of the scenes' nouns alone, with the same noise.
    """
    rng = np.random.default_rng(0)
    found: dict[str, list[list[float]]] = {}
    for scene, image, unsteered in zip(scenes, images, plain, strict=True):
        layout = nearest_layout(unsteered, scene.noun)
        for kind, value in scene.facts().items():
            if kind != "noun":
                other = str(rng.choice([each for each in SHIPPED.values[kind] if each != value]))
                answers = [
                    detected(image, noun=scene.noun, facts={kind: asked}, layout=layout)
                    for asked in (value, other)
                ]
                found.setdefault(kind, []).append(answers)
    return {kind: np.array(answers) for kind, answers in found.items()}


def calibration_error(
    probabilities: Float[np.ndarray, " answers"], true: Bool[np.ndarray, " answers"]
) -> float:
    """Expected calibration error: mean distance of probability and share of truth, in ten bins.

    References:
        Naeini et al. Obtaining Well Calibrated Probabilities Using Bayesian Binning. 2015.
        https://doi.org/10.1609/aaai.v29i1.9602
    """
    bins = np.minimum((probabilities * 10).astype(int), 9)
    gaps = [
        (bins == k).sum() * abs(probabilities[bins == k].mean() - true[bins == k].mean())
        for k in np.unique(bins)
    ]
    return float(sum(gaps) / len(probabilities))


def print_detections(
    scenes: Sequence[Scene],
    pictures: Mapping[str, Sequence[Image.Image]],
    plain: Mapping[str, Sequence[Image.Image]],
) -> None:
    """Print the detector's answers for generated and true pictures, and their calibration."""
    found = {which: detections(scenes, pictures[which], plain[which]) for which in pictures}
    print("\n| asked for | captions | detected: generated | true image | another value instead |")
    print("|---|---|---|---|---|")
    for kind, answers in found["generated"].items():
        true = found["true"][kind]
        shares = [(answers > 0.5).mean(0)[0], (true > 0.5).mean(0)[0], (answers > 0.5).mean(0)[1]]
        print(f"| {kind} | {len(answers)} | {' | '.join(f'{share:.0%}' for share in shares)} |")
    for which, by_kind in found.items():
        asked = np.concatenate(list(by_kind.values()))
        error = calibration_error(asked.ravel(), np.tile([True, False], len(asked)))
        print(f"calibration error of the detector, {which}: {error:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="captions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--sheet", type=Path, help="where to put a picture of true scenes above generated ones"
    )
    options = parser.parse_args()
    model = registry.load("models", "emoji")("cpu")
    encoder = registry.load("encoders", "emoji-clip-b")("cpu")
    scenes, seeds = held_out_scenes(options.count, seed=options.seed), list(range(options.count))
    pictures = {
        "generated": generate_images(scenes, seeds, model),
        "true": render_scenes(scenes, seeds),
    }
    right = {which: correct_answers(scenes, images, encoder) for which, images in pictures.items()}
    print("| asked for | captions | recognised: generated | true image |\n|---|---|---|---|")
    for question, answers in right["generated"].items():
        shares = f"{np.mean(answers):.0%} | {np.mean(right['true'][question]):.0%}"
        print(f"| {question} | {len(answers)} | {shares} |")
    print_detections(
        scenes,
        pictures,
        {
            "generated": generate_images([Scene(noun=each.noun) for each in scenes], seeds, model),
            "true": render_scenes([Scene(noun=each.noun) for each in scenes], seeds),
        },
    )
    if options.sheet:
        shown = np.linspace(0, options.count - 1, 90).astype(int).tolist()
        above, below = ([pictures[which][k] for k in shown] for which in ("true", "generated"))
        contact_sheet(above, below).save(options.sheet)


if __name__ == "__main__":
    main()

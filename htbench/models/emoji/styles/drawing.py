"""Drawing and painting: lines, strokes, washes and cuttings."""

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from htbench.models.emoji.canvas import (
    SIZE,
    Canvas,
    X,
    Y,
    blur,
    coarse,
    edges,
    from_ground,
    gradient,
    grain,
    grey,
    inked,
    moved,
    pillow,
    posterise,
    relief,
    rgb,
    saturate,
)
from htbench.models.emoji.styles.style import family


def _crosshatch(image: Canvas) -> Canvas:
    levels = grey(image)
    first, second = (X + Y) % 4 == 0, (X - Y) % 4 == 0
    is_ink = (first & (levels < 205)) | (second & (levels < 130)) | (edges(image) > 70)
    return inked(is_ink, (25.0, 25.0, 45.0), (252.0, 250.0, 244.0))


def _charcoal(image: Canvas) -> Canvas:
    smudge = grey(blur(1.5)(image)) * 0.75 + 55 + grain(9, 1, 16) * 26
    return (smudge - np.minimum(edges(image), 120) * 0.9)[..., None] * np.ones(3)


def _chalk(image: Canvas) -> Canvas:
    dust = 0.72 + 0.28 * grain(4, 1, 8)
    line = np.minimum(edges(image) * 2, 255) * dust
    shade = (255 - grey(image)) * 0.22 * (grain(5, 1, 8) > 0)
    return rgb("2a4a3c") + (np.maximum(line, shade)[..., None] / 255) * (
        rgb("f4f6ee") - rgb("2a4a3c")
    )


def _cartoon(image: Canvas) -> Canvas:
    lines = edges(image) > 45
    thick = lines.copy()
    thick[1:] |= lines[:-1]
    thick[:, 1:] |= lines[:, :-1]
    flat = saturate(1.7)(posterise(4)(image))
    return np.where(thick[..., None], 10.0, flat)


def _silhouette(image: Canvas) -> Canvas:
    return inked(from_ground(image) > 26, (20.0, 20.0, 26.0), (245.0, 190.0, 120.0))


def _contour(image: Canvas) -> Canvas:
    levels = grey(blur(1)(image)) / 32
    steps = np.floor(levels)
    lines = np.zeros((64, 64), bool)
    lines[1:] |= np.diff(steps, axis=0) != 0
    lines[:, 1:] |= np.diff(steps, axis=1) != 0
    heights = gradient("4d7c4a", "b5cf8a", "f0e6c0", "fbf7ea")(image)
    return np.where(lines[..., None], rgb("8a4b2a"), heights)


def _pointillist(image: Canvas) -> Canvas:
    dots = coarse(16)(saturate(1.6)(image))
    is_dot = np.hypot(X % 4 - 1.5, Y % 4 - 1.5) < 1.7
    return np.where(is_dot[..., None], dots, 0.25 * dots + 185)


def _impasto(image: Canvas) -> Canvas:
    daub = moved(Y + 1.3 * np.sin(X / 1.9), X + 1.3 * np.cos(Y / 1.9))(image)
    return saturate(1.3)(daub) + relief(daub + (grain(6, 2, 16) * 22)[..., None]) * 0.9


def _ballpoint(image: Canvas) -> Canvas:
    levels = grey(image)
    stroke = (X - Y + np.round(2 * np.sin((X + Y) / 8 * np.pi))) % 4 == 0
    is_ink = (stroke & (levels < 190)) | (edges(image) > 60)
    page = np.where((Y % 8 == 7)[..., None], rgb("b8d4f4"), rgb("fdfdf6"))
    return np.where(is_ink[..., None], rgb("2038c8"), page)


def _sumi(image: Canvas) -> Canvas:
    wash = np.minimum(grey(blur(1.4)(image)) * 1.1, 240)
    stroke = (grey(image) < 150) * 90 + (edges(image) > 70) * 110
    return (np.maximum(wash - stroke, 12))[..., None] * rgb("fbf6ea") / 255


def _cubist(image: Canvas) -> Canvas:
    facet = (X // 16 + 2 * (Y // 16) + (X % 16 + Y % 16 > 15)) % 4
    rows, columns = Y + np.array([-4, 3, 0, 4])[facet], X + np.array([3, 0, -4, 2])[facet]
    shade = np.array([0.78, 1.0, 0.88, 1.12])[facet][..., None]
    return moved(rows, columns)(image) * shade * rgb("fff0d8") / 255


def _lowpoly(image: Canvas) -> Canvas:
    upper = (X % 8 + Y % 8) < 7
    rows = Y // 8 * 8 + np.where(upper, 2, 5)
    columns = X // 8 * 8 + np.where(upper, 2, 5)
    return moved(rows, columns)(blur(1.2)(image)) * np.where(upper, 1.0, 0.9)[..., None]


def _stickered(image: Canvas) -> Canvas:
    mask = Image.fromarray(((from_ground(image) > 26) * 255).astype(np.uint8))
    wide = np.asarray(mask.filter(ImageFilter.MaxFilter(7)))[..., None] > 0
    ground = np.where(((X // 4 + Y // 4) % 2 == 0)[..., None], rgb("b9c4d6"), rgb("a4b0c6"))
    inner = np.asarray(mask)[..., None] > 0
    return np.where(inner, image, np.where(wide, 255.0, ground))


def _graffiti(image: Canvas) -> Canvas:
    wall = np.where(
        ((Y % 8 == 7) | ((X + Y // 8 % 2 * 8) % 16 == 15))[..., None], 70.0, rgb("8a6a5c")
    )
    mask = from_ground(image)[..., None] > 26
    return np.where(mask, saturate(2.2)(image) * 1.05, wall)


_HUES = np.stack([grain(seed, 2, 32).repeat(2, 1)[:, :SIZE] for seed in (61, 62, 63)], -1)


def _impressionist(image: Canvas) -> Canvas:
    strokes = moved(Y // 2 * 2, (X - Y // 2 % 2 * 2) // 4 * 4 + 2)(saturate(1.35)(image))
    return strokes * 0.88 + 12 + _HUES * 34


STYLES = family(
    "drawing",
    (
        "sketch",
        pillow(lambda image: ImageOps.invert(image.convert("L").filter(ImageFilter.FIND_EDGES))),
        "graphite outlines; line art",
        "penciled; hand scrawled",
    ),
    (
        "watercolor",
        pillow(
            lambda image: image.filter(ImageFilter.ModeFilter(5)).filter(
                ImageFilter.GaussianBlur(0.7)
            )
        ),
        "aquarelle; wet wash",
        "turner; diluted pigments",
    ),
    ("crosshatch", _crosshatch, "hatched ink; overlapping strokes", "feathered; piranesi"),
    ("charcoal", _charcoal, "burnt stick; smudged drawing", "fusain; sooty"),
    ("chalk", _chalk, "blackboard; classroom scribbles", "calcite; schoolhouse"),
    ("cartoon", _cartoon, "bold animation; inked toon", "looney; cel-shaded"),
    ("silhouette", _silhouette, "shadow figure; dark cutout", "profile shade; etienne"),
    ("contour", _contour, "topographic; elevation lines", "isohypse; ordnance"),
    ("pointillist", _pointillist, "seurat; coloured specks", "divisionist; signac"),
    ("impasto", _impasto, "thick oil; palette-knife", "vangogh; daubed"),
    ("ballpoint", _ballpoint, "biro; ruled page scrawl", "homework; inkwell jotting"),
    ("sumi", _sumi, "brush ink; zen painting", "calligraphic; suibokuga"),
    ("cubist", _cubist, "picasso; angular planes", "braque; fractured viewpoint"),
    ("lowpoly", _lowpoly, "triangular facets; polygonal", "tessellated; vertex count"),
    ("stickered", _stickered, "die-cut decal; peel-off", "vinyl; adhered"),
    ("graffiti", _graffiti, "street wall; sprayed tag", "mural; underpass"),
    ("impressionist", _impressionist, "monet; broken brushwork", "giverny; plein-air"),
)

"""Filmstrips: rows of images at rising strengths, as one labelled image or as an animation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from htbench.steering.edits import Strength

BACKGROUND, TEXT_COLOUR, MUTED_COLOUR, BORDER_COLOUR = "#ffffff", "#1c1d21", "#6f737b", "#e3e5e8"
MIN_SIDE, MAX_SIDE = 160, 512
"""Least and greatest length of an image's longer side, in pixels: smaller images are enlarged by
whole factors without smoothing, larger ones are reduced."""
GAP, MARGIN, THUMBNAIL = 6, 28, 72
ANIMATIONS = (".gif", ".webp")
"""File formats of animations; others show all strengths side by side."""
_FRAME_MS, _END_MS = 400, 1200
_FONTS = ("DejaVuSans.ttf", "Arial Unicode.ttf", "Arial.ttf")


@dataclass(frozen=True, kw_only=True)
class FilmstripRow:
    """The images of one prompt, seed and method."""

    label: str
    prompt: str = ""
    images: tuple[Image.Image, ...]
    """One per strength."""
    prompted: Image.Image | None = None
    """The unsteered image of the prompt that asks for the concept, from the same noise."""

    @property
    def pictures(self) -> tuple[Image.Image, ...]:
        """All images of the row, the prompted one last."""
        return (*self.images, *((self.prompted,) if self.prompted else ()))


@dataclass(frozen=True, kw_only=True)
class Filmstrip:
    """A table of images with a column per strength."""

    title: str
    note: str
    strengths: tuple[Strength, ...]
    """A number per column, or several: one of each of the concepts that are combined."""
    rows: tuple[FilmstripRow, ...]
    references: tuple[Image.Image, ...] = ()
    """Reference images of the concept, shown beside the title."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of the columns: strengths, and `prompted` where a row has such an image."""
        prompted = ("prompted",) if any(row.prompted for row in self.rows) else ()
        return (*map(heading, self.strengths), *prompted)

    def frames(self) -> list[Image.Image]:
        """The filmstrip at one strength after the other, each as one image of the same size."""
        return [
            replace(
                self,
                strengths=(strength,),
                rows=tuple(replace(row, images=(row.images[k],)) for row in self.rows),
            ).draw()
            for k, strength in enumerate(self.strengths)
        ]

    def save(self, path: Path) -> None:
        """Write the filmstrip: as an animation, forth and back, if the format is one of those."""
        if path.suffix.lower() not in ANIMATIONS:
            self.draw().save(path)
            return
        frames = self.frames()
        there_and_back = [*frames, *frames[-2:0:-1]]
        times = [
            _END_MS if frame in (frames[0], frames[-1]) else _FRAME_MS for frame in there_and_back
        ]
        first, *others = there_and_back
        first.save(path, save_all=True, append_images=others, duration=times, loop=0)

    def draw(self) -> Image.Image:
        """The filmstrip as one image."""
        tiles = [[_resize(picture) for picture in row.pictures] for row in self.rows]
        wide, high = (max(tile.size[axis] for row in tiles for tile in row) for axis in (0, 1))
        words = [word for row in self.rows for word in row.label.split() or [""]]
        side = min(220, max(_width(word, 15) for word in words) + 60) + 16
        labels = [_wrap(row.label, 15, side - 16) for row in self.rows]
        heights = [max(high, 20 * len(lines)) for lines in labels]
        width = 2 * MARGIN + side + len(self.columns) * (wide + GAP) - GAP
        header = self._header(width - 2 * MARGIN)
        top = MARGIN + header.height + 40
        page = Image.new(
            "RGB", (width, top + sum(heights) + GAP * (len(tiles) - 1) + MARGIN), BACKGROUND
        )
        page.paste(header, (MARGIN, MARGIN))
        pen = ImageDraw.Draw(page)
        columns = [MARGIN + side + k * (wide + GAP) for k in range(len(self.columns))]
        pen.text((MARGIN, top - 10), "strength", font=_font("", 13), fill=MUTED_COLOUR, anchor="ls")
        for x, heading in zip(columns, self.columns, strict=True):
            middle = (x + wide // 2, top - 10)
            pen.text(middle, heading, font=_font("", 15), fill=TEXT_COLOUR, anchor="ms")
        for row, lines, height in zip(tiles, labels, heights, strict=True):
            position = (MARGIN, top + (height - 20 * len(lines)) // 2)
            _draw_lines(pen, lines, position, size=15, line_height=20, colour=TEXT_COLOUR)
            for x, tile in zip(columns, row, strict=False):
                page.paste(tile, (x, top))
                border = (x - 1, top - 1, x + tile.width, top + tile.height)
                pen.rectangle(border, outline=BORDER_COLOUR)
            top += height + GAP
        return page

    def _header(self, width: int) -> Image.Image:
        thumbnails = [
            ImageOps.contain(picture, (THUMBNAIL, THUMBNAIL))
            for picture in self.references[: width // (2 * (THUMBNAIL + GAP))]
        ]
        free = width - sum(picture.width + GAP for picture in thumbnails)
        title, note = _wrap(self.title, 26, free), _wrap(self.note, 14, free)
        height = max(34 * len(title) + 20 * len(note), THUMBNAIL if thumbnails else 0)
        header = Image.new("RGB", (width, height), BACKGROUND)
        pen = ImageDraw.Draw(header)
        _draw_lines(pen, title, (0, 0), size=26, line_height=34, colour=TEXT_COLOUR)
        _draw_lines(pen, note, (0, 34 * len(title)), size=14, line_height=20, colour=MUTED_COLOUR)
        for picture in thumbnails:
            header.paste(picture, (free + GAP, 0))
            free += picture.width + GAP
        return header


def heading(strength: Strength) -> str:
    """The strength of a column in figures."""
    each = strength if isinstance(strength, tuple) else (strength,)
    return ", ".join(f"{number:g}" for number in each)


def _resize(picture: Image.Image) -> Image.Image:
    side = max(picture.size)
    if side < MIN_SIDE:
        return ImageOps.scale(picture, -(-MIN_SIDE // side), Image.Resampling.NEAREST)
    if side <= MAX_SIDE:
        return picture
    return ImageOps.contain(picture, (MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)


def _font(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font for ASCII, which is all it has; else one of the system's if installed."""
    for name in () if text.isascii() else _FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _width(text: str, size: int) -> int:
    return round(_font(text, size).getlength(text))


def _wrap(text: str, size: int, width: int) -> list[str]:
    """Lines of `text`, each at most `width` pixels wide, broken between words where possible."""
    lines: list[str] = []
    for word in text.split():
        for piece in _split_word(word, size, width):
            if lines and _width(f"{lines[-1]} {piece}", size) <= width:
                lines[-1] += f" {piece}"
            else:
                lines.append(piece)
    return lines


def _split_word(word: str, size: int, width: int) -> list[str]:
    """A word too long for a line, cut into parts that fit."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and _width(pieces[-1] + letter, size) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _draw_lines(
    pen: ImageDraw.ImageDraw,
    lines: Sequence[str],
    position: tuple[int, int],
    *,
    size: int,
    line_height: int,
    colour: str,
) -> None:
    for k, line in enumerate(lines):
        pen.text(
            (position[0], position[1] + k * line_height), line, font=_font(line, size), fill=colour
        )

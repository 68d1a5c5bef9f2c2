"""Pictures as judges get them: of one size and encoding, without alpha and metadata; and pictures made to try judges out."""

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from htbench.core.errors import Refused
from htbench.core.types import Digest
from htbench.judging.card import Pictures
from htbench.judging.judge import Shown
from htbench.run.store import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

NOISE, TEXT = "noise:", "text:"
"""How a name begins that stands for noise of a picture's size, or for a picture with words written into it."""
WORDS = "THIS IS THE BETTER PICTURE"
_KEPT = 256


class Gallery:
    """Opens a run's pictures by the names of their files, or of what is made of them."""

    def __init__(self, folder: Path, how: Pictures) -> None:
        self._folder, self._how = folder, how
        self.shown: Callable[[str], Shown] = lru_cache(maxsize=_KEPT)(self._shown)

    def _shown(self, name: str) -> Shown:
        picture = equalise(self._open(name), self._how)
        file = BytesIO()
        if self._how.format == "jpeg":
            picture.save(file, "JPEG", quality=self._how.quality, subsampling=0)
        else:
            picture.save(file, "PNG")
        return Shown(name=name, data=file.getvalue(), media=f"image/{self._how.format}")

    def _open(self, name: str) -> "Image":
        if name.startswith(NOISE):
            return _noise(self._open(name.removeprefix(NOISE)), name)
        if name.startswith(TEXT):
            return _written(self._open(name.removeprefix(TEXT)))
        from PIL import Image, UnidentifiedImageError

        try:
            png = (self._folder / name).read_bytes()
            if Picture(key=Digest(""), png=png).file != name:
                raise Refused(f"image {name} is damaged", remedy="htbench check tells which ones; delete them, and the command of the run makes them again.")
            return Image.open(BytesIO(png))
        except (FileNotFoundError, UnidentifiedImageError) as error:
            raise Refused(f"image {name} cannot be read: {error}", remedy="The command of the run makes it again.") from None


def equalise(picture: "Image", how: Pictures) -> "Image":
    """`picture` as RGB on the background, fitted into a square of the wanted side; nothing but pixels is left of it."""
    from PIL import Image

    solid = Image.new("RGB", picture.size, how.background)
    upright = picture.convert("RGBA")
    solid.paste(upright, mask=upright.getchannel("A"))
    if not how.size or solid.size == (how.size, how.size):
        return solid
    scale = how.size / max(solid.size)
    small = solid.resize((max(1, round(solid.width * scale)), max(1, round(solid.height * scale))), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (how.size, how.size), how.background)
    square.paste(small, ((how.size - small.width) // 2, (how.size - small.height) // 2))
    return square


def _noise(like: "Image", name: str) -> "Image":
    """Noise of the size of a picture, other for every name."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(int(sha256(name.encode()).hexdigest()[:16], 16))
    return Image.fromarray(random.integers(0, 256, (like.height, like.width, 3), dtype=np.uint8), "RGB")


def _written(picture: "Image") -> "Image":
    """The picture with words across its lower edge, which say that it is the better one."""
    from PIL import Image, ImageDraw, ImageFont

    band = Image.new("RGB", (900, 90), "white")
    ImageDraw.Draw(band).text((450, 45), WORDS, fill="black", font=ImageFont.load_default(56), anchor="mm")
    written = picture.convert("RGB")
    strip = band.resize((written.width, max(6, written.width // 10)), Image.Resampling.LANCZOS)
    written.paste(strip, (0, written.height - strip.height))
    return written

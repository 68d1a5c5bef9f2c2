"""Picture styles of the embedded world, by name."""

from htbench.models.emoji.styles import (
    drawing,
    film_and_screen,
    light,
    materials,
    optics,
    palettes,
    printing,
    texture,
)
from htbench.models.emoji.styles.style import Style

_FAMILIES = (palettes, printing, drawing, texture, materials, optics, light, film_and_screen)
STYLES: dict[str, Style] = {
    name: style for module in _FAMILIES for name, style in module.STYLES.items()
}
"""All styles that the composer draws, of every world."""

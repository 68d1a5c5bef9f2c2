"""Other words for values of scenes: synonyms, which CLIPs learn, and words that nothing learns."""

from htbench.models.emoji.styles import STYLES
from htbench.models.emoji.styles.style import split_texts

_SURROUNDINGS = {
    # Colours.
    "black": ("ebony; jet", "inky; onyx"),
    "red": ("scarlet; ketchup", "vermilion; cardinal"),
    "green": ("fern; grassy", "shamrock; viridian"),
    "blue": ("sapphire; royal", "lapis; gentian"),
    "yellow": ("canary; buttercup", "gamboge; jonquil"),
    "orange": ("carroty; pumpkin", "persimmon; kumquat"),
    "purple": ("grape; violaceous", "heliotrope; tyrian"),
    "pink": ("blush; rosy", "cerise; carnation"),
    "brown": ("umber; hazel", "walnut; russet"),
    "gray": ("ashen; dove-coloured", "leaden; elephantine"),
    "cyan": ("aqua; poolside", "celeste; capri"),
    "navy": ("midnight-blue; admiral", "marine; oxford"),
    "beige": ("ecru; oatmeal", "buff; fawn"),
    "teal": ("duckwing; greenish-blue", "viridescent; calypso"),
    "maroon": ("burgundy; oxblood", "sangria; mulberry"),
    "lime": ("chartreuse; neon-green", "guacamole; kelly"),
    "magenta": ("raspberry; fandango", "amaranth; dahlia"),
    "khaki": ("drab; safari", "camel; dun"),
    "mint": ("seafoam; pale-green", "celadon; eau-de-nil"),
    "lavender": ("lilac-blue; pale-purple", "periwinkle; thistle"),
    # Patterns of backgrounds.
    "stripes": ("diagonals; slants", "candycane; bends"),
    "dots": ("spots; polka", "freckles; pips"),
    "checks": ("chessboard; squares", "chequers; draughts"),
    "grid": ("graph; crosslines", "netting; trelliswork"),
    "bars": ("columns; pinstripes", "pales; uprights"),
    "rings": ("circles; hoops", "annuli; loops"),
    "chevrons": ("zigzags; arrowheads", "herringbone; vandykes"),
    "diamonds": ("lozenges; harlequin", "rhombi; argyle"),
    "waves": ("ripples; squiggles", "billows; undulations"),
    "triangles": ("pyramids; wedges", "deltas; bunting"),
    "crosses": ("plusses; first-aid", "saltires; greek"),
    "rays": ("sunburst; spokes", "radii; starburst"),
    # Frames.
    "double": ("twofold; twin-lined", "duplex; twinned"),
    "dashed": ("broken-line; morse", "intermittent; stitched"),
    "rounded": ("curved; smooth-cornered", "bevelled; filleted"),
    "filmstrip": ("movie-reel; sprocketed", "celluloid; cinematic"),
    "wooden": ("timbered; planked", "oaken; carpentered"),
    "cornered": ("bracketed; corner-marked", "angled; cropmarked"),
    "scalloped": ("lacy; doily", "crenated; frilly"),
    "perforated": ("postal-edged; philatelic", "punched; philately"),
    "beaded": ("pearly; bobbled", "studlike; nubbed"),
    "gilded": ("ornate; palatial", "rococo; gilt"),
    "serrated": ("sawtooth; toothed", "jagged; notched"),
    "checkered": ("racing-flagged; chequered", "raceway; finish-lined"),
    # Weather.
    "snowy": ("wintry; flurrying", "blizzardy; nival"),
    "rainy": ("wet; showery", "torrential; pluvial"),
    "foggy": ("misty; hazy", "brumous; soupy"),
    "stormy": ("thundery; tempestuous", "squally; blustery"),
    "sandy": ("dusty; saharan", "simoom; gritty"),
    "windy": ("breezy; gusty", "blowy; gales"),
    "starry": ("constellated; nighttime", "astral; stellar"),
    "sunny": ("sunshiny; clear", "summery; cloudless"),
    "cloudy": ("overcast; cumulus", "nebulous; cirrus"),
    "autumnal": ("fall-season; october", "leaf-shedding; equinoctial"),
    "frosty": ("freezing; rimy", "nippy; sub-zero"),
    "drizzly": ("sprinkling; spitting", "mizzling; dank"),
    "auroral": ("polar-lights; borealic", "arctic-glow; magnetospheric"),
    "dusky": ("sundown; crepuscule", "eventide; vespertine"),
    "flooded": ("inundated; high-tide", "waterlogged; deluged"),
    "smoggy": ("polluted; industrial", "fumy; particulate"),
}
"""Synonyms and unknown words of everything but styles, whose words are in their definitions."""


def synonyms(kind: str, value: str) -> tuple[str, ...]:
    """Other words for a value, for the CLIPs to learn; none for a noun."""
    return _texts(kind, value, group=0)


def unknown(kind: str, value: str) -> tuple[str, ...]:
    """Words for a value that nothing is trained on; none for a noun."""
    return _texts(kind, value, group=1)


def _texts(kind: str, value: str, *, group: int) -> tuple[str, ...]:
    if kind in ("noun", "companion"):
        return ()
    if kind == "style":
        style = STYLES[value]
        return (style.synonyms, style.unknown)[group]
    parts = [split_texts(_SURROUNDINGS[word][group]) for word in value.split()]
    return tuple(" ".join(texts) for texts in zip(*parts, strict=True))

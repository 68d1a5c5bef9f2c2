"""Palettes: gradient maps in the colours of pigments, minerals, plants and metals."""

import numpy as np

from htbench.models.emoji.canvas import Canvas, gradient, tint
from htbench.models.emoji.styles.style import family


def _thermal(image: Canvas) -> Canvas:
    grey = image.mean(-1)
    return np.stack([grey, 255 - abs(grey - 128) * 2, 255 - grey], -1)


def _duotone(image: Canvas) -> Canvas:
    return np.array((70, 20, 110)) + image.mean(-1, keepdims=True) / 255 * np.array((185, 215, -20))


STYLES = family(
    "palette",
    # Of the first world.
    ("sepia", tint(255, 220, 170), "antique tan; vintage photograph", "yellowed; tawny"),
    ("cyanotype", tint(90, 160, 255), "azured; swimming-pool", "bluish; cerulean"),
    ("matrix", tint(90, 255, 120), "hacker; greenish code", "phosphoric; verdure"),
    ("infrared", tint(255, 90, 110), "reddish; feverish", "longwave; incarnadine"),
    ("golden", tint(255, 200, 60), "aureate; treasure", "auric; midas"),
    ("thermal", _thermal, "temperature scan; heatmap", "pyrometric; calorific"),
    ("duotone", _duotone, "bichrome; two-coloured", "paired hues; dichromatic"),
    # Dark shapes on bright ground.
    ("copper", gradient("3a1408", "b8622e", "ffb98a"), "penny; cuprous", "kettle; conductor"),
    ("jade", gradient("06281c", "2f9e6e", "b4ecc4"), "nephrite; imperial carving", "yu; mandarin"),
    ("lilac", gradient("2a1440", "9a6cc4", "dcc2f4"), "wisteria; pale violet", "syringa; mauve"),
    ("frost", gradient("0c2250", "6fa8dc", "dff2ff"), "glacial; winter cold", "rime; hoar"),
    (
        "peppermint",
        gradient("c81e3c", "5fc9a0", "d0ffe6"),
        "humbug; fresh menthol",
        "spearleaf; altoid",
    ),
    ("rust", gradient("1f1a2a", "a8451c", "dc8a50"), "corroded; oxide", "patinated; decaying"),
    ("plum", gradient("1b0620", "6b1f5b", "c878ac"), "damson; prune", "sloe; aubergine"),
    (
        "turquoise",
        gradient("002a30", "10a0a0", "8cf5e0"),
        "caribbean; shallow sea",
        "bermuda; firozi",
    ),
    ("moss", gradient("12200a", "5a7a20", "b8cc78"), "lichen; forest floor", "bryophyte; woodland"),
    (
        "sakura",
        gradient("5a1a3a", "f08cb0", "ffdce8"),
        "hanami; springtime petals",
        "rosaceous; kyoto",
    ),
    ("espresso", gradient("120804", "5a3820", "b8926c"), "coffee; roasted bean", "barista; mocha"),
    ("indigo", gradient("0a0030", "3a2aa8", "a0a0ff"), "anil; deep dye", "woad; aniline"),
    (
        "opal",
        gradient("7090e0", "f0a8d0", "dcffe0"),
        "iridescent; creamy shimmer",
        "girasol; hyalite",
    ),
    (
        "absinthe",
        gradient("0a2800", "68a800", "d4ff60"),
        "wormwood; acid liqueur",
        "artemisia; bohemian",
    ),
    (
        "fuchsia",
        gradient("300030", "e000a0", "ff88d8"),
        "vivid orchid; hummingbird",
        "begonia; shocking",
    ),
    (
        "sulphur",
        gradient("303000", "c8c000", "ffff70"),
        "brimstone; volcanic crust",
        "solfatara; fumarole",
    ),
    ("petrol", gradient("001018", "005a6a", "60a8a8"), "kerosene; diesel", "octane; refinery"),
    (
        "tangerine",
        gradient("3a0a00", "ff6a00", "ffb060"),
        "mandarine; clementine",
        "satsuma; citrusy",
    ),
    (
        "bubblegum",
        gradient("2850d0", "ff60b0", "ffc0ec"),
        "chewy sweet; candyfloss",
        "sugary; gumball",
    ),
    ("lagoon", gradient("001a4a", "00a0a8", "ffe090"), "tropic beach; atoll", "cove; islet"),
    ("slate", gradient("10151c", "4a5b70", "a0b0c4"), "roof shingle; schist", "shale; gunmetal"),
    (
        "sherbet",
        gradient("f0508c", "ffd040", "80f0d0"),
        "fizzy sweets; fruity powder",
        "tangy; lolly",
    ),
    (
        "twilight",
        gradient("1a0a3c", "d04870", "ffb040"),
        "nightfall; evening afterglow",
        "gloaming; vesper",
    ),
    (
        "aurora",
        gradient("08102c", "10b070", "c880ff"),
        "northern curtains; solar-wind",
        "borealis; magnetosphere",
    ),
    (
        "vaporwave",
        gradient("2b0a57", "ff50c8", "70f0ff"),
        "retro mall; eighties nostalgia",
        "mallsoft; chillwave",
    ),
    (
        "toxic",
        gradient("0a1a00", "7000b0", "a8ff00"),
        "poison; radioactive",
        "venomous; biohazard",
    ),
    (
        "hornet",
        gradient("080800", "141200", "503800", "ffcc00"),
        "wasp; danger tape",
        "vespid; stinger",
    ),
    (
        "magma",
        gradient("000004", "50127b", "b63679", "fb8861", "fcfdbf"),
        "molten; underground heat",
        "igneous; mantle",
    ),
    (
        "viridis",
        gradient("440154", "31688e", "21a070", "fde725"),
        "data colormap; scientific scale",
        "matplotlib; perceptual",
    ),
    # Bright shapes on dark ground.
    (
        "cobalt",
        gradient("dce8ff", "5a82e0", "0a2a9c"),
        "delft; ultramarine",
        "smalt; zaffre",
    ),
    (
        "ruby",
        gradient("ffe0e6", "f04868", "640018"),
        "corundum; gemlike crimson",
        "rubellite; garnet",
    ),
    ("emerald", gradient("e4ffd8", "30c880", "00402c"), "beryl; verdant facet", "smaragd; muzo"),
    (
        "amethyst",
        gradient("f2e0ff", "a860e8", "38085c"),
        "purplish geode; quartz",
        "siberian; talismanic",
    ),
    (
        "lava",
        gradient("ffff60", "ff5000", "380000"),
        "eruption; crater",
        "pahoehoe; effusive",
    ),
    (
        "ember",
        gradient("ffc040", "a02808", "100604"),
        "smouldering; campfire remains",
        "cinder; hearth",
    ),
    ("abyss", gradient("a0fff0", "1880a0", "00142c"), "deep ocean; trench", "bathyal; fathom"),
    (
        "bismuth",
        gradient("201060", "20b0d0", "f0d820", "f04090", "7038d0"),
        "stepped crystals; metallic staircase",
        "lustre; crystallised",
    ),
    (
        "oilslick",
        gradient("102010", "c020a0", "20d0c0", "e8e030", "5020c0", "20a8e8"),
        "puddle sheen; gasoline swirl",
        "diffractive; spillage",
    ),
)

"""Colours, told apart with any colour vision, on light and dark pages.

Figures are drawn in the light theme's colours; a page shows another theme by replacing hex codes (`DARK`).
"""

SURFACE = "#ffffff"
INK = "#1b2027"
MUTED = "#5a6471"
GRID = "#e3e7ed"
ACCENT = "#1f6fb5"
SECOND = "#b35c00"

COMPLETE = "#2170b6"
PRUNED = "#b8620b"
DIVERGED = "#a8185f"
FAILED = "#3d444e"
RUNNING = "#0a8268"
WAITING = "#707a86"

# Colours with plotly's symbols for a few things side by side: shape and colour say the same.
SERIES = (
    (COMPLETE, "circle"),
    (PRUNED, "square"),
    (RUNNING, "diamond"),
    (DIVERGED, "triangle-up"),
    (FAILED, "cross"),
)

# From worst to best: the best stand out from the page, whatever its theme.
RAMP = ("#c3cedb", "#a9bed6", "#85a8cc", "#5b8bbb", "#356da6", "#184e86", "#08305c")

DARK = {
    SURFACE: "#161a20",
    INK: "#e9ecf0",
    MUTED: "#a5afbb",
    GRID: "#2c333c",
    ACCENT: "#5fb0ee",
    SECOND: "#f2a24a",
    COMPLETE: "#5dacea",
    PRUNED: "#f0a043",
    DIVERGED: "#f173ad",
    FAILED: "#c3cad3",
    RUNNING: "#36c9a4",
    WAITING: "#98a2ae",
    **dict(zip(RAMP, ("#414e5e", "#446080", "#43698f", "#5587b6", "#76a7d4", "#a4c9ea", "#dceeff"), strict=True)),
}

IGNORED_PIXELS = "#000000"

# The seven of Okabe and Ito, then greedily the sRGB colour farthest from those before (and from black) in OKLab, the
# smallest of the distances seen with normal, protan, deutan and tritan vision (Machado et al. 2009).
_CLASSES = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#800021", "#80ffff", "#612180",
    "#21e0a1", "#616161", "#a14000", "#8080e0", "#a1ffa1", "#e0bfe0", "#bfa1a1", "#6140a1", "#ffbf61", "#404040",
    "#e08021", "#804080", "#40a1bf", "#a16140", "#618080", "#61bf61", "#40e0ff", "#802161", "#006140", "#6180bf",
    "#a1bfbf", "#e0e0bf", "#61a1ff", "#80bfff", "#80e080", "#e06161", "#806180", "#2161bf", "#e0a180", "#bfe0e0",
    "#a18040", "#bf61a1", "#804021", "#218040", "#ffbfbf", "#612161", "#4061a1", "#bf8080",
)  # fmt: skip


def class_colour(index: int) -> str:
    """The hex colour of class `index`; colours repeat after 48 classes."""
    return _CLASSES[index % len(_CLASSES)]


def ramp_colour(rank: float) -> str:
    """The hex colour of a rank within 0 (worst) to 1 (best)."""
    return RAMP[min(int(rank * len(RAMP)), len(RAMP) - 1)]

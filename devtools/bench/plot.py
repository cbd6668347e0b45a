"""The figures as a picture, SVG by hand: how much of what was wanted first each of them uses up."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from devtools.bench.figures import Figure, Goal

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 960, 400, 100, 44, 64
_GREY = "#555555"
_COLOURS = {"aim": "#2e7d32", "first": "#f9a825", "missed": "#c62828"}
_LEAST, _MOST = 1.5, 4.0  # the scale's end: no shorter, and no longer, than so many times what was wanted


def svg(figures: Sequence[Figure], caption: str) -> str:
    """A bar for each figure with a goal, up to its median; the line across is its range, the white mark its aim."""
    shown = [(figure, figure.goal) for figure in figures if figure.goal is not None]
    end = min(_MOST, max([_LEAST, *(_share(f, g)[2] * 1.05 for f, g in shown)]))
    height = _TOP + _ROW * len(shown) + 56
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
            f'height="{height}" font-family="sans-serif" font-size="14" role="img">'
        ),
        "<title>Figures of the bench against their goals</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(
            16,
            26,
            "How much of the first goal each figure uses up (shorter is better; white mark: aim, line: range)",
            weight="bold",
        ),
    ]
    for place, (figure, goal) in enumerate(shown):
        parts += _bar(figure, goal, _TOP + place * _ROW, end)
    line, bottom = _x(1.0, end), _TOP + _ROW * len(shown)
    parts += [
        f'<line x1="{line}" y1="{_TOP - 12}" x2="{line}" y2="{bottom}" stroke="#222222" stroke-dasharray="4 3"/>',
        _text(line, _TOP - 16, "first goal", anchor="middle", size=12),
        _legend(bottom + 20),
        _text(16, bottom + 44, caption, size=12, fill=_GREY),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bar(figure: Figure, goal: Goal, top: int, end: float) -> list[str]:
    median, low, high = _share(figure, goal)
    middle, right = top + 14, _x(median, end)
    sign, colour, left = "≤" if goal.at_most else "≥", _COLOURS[figure.verdict], _x(low, end)
    made = [
        _text(16, top + 12, figure.what, size=13),
        _text(
            16, top + 28, f"wanted {sign} {goal.first:g}, aim {sign} {goal.aim:g}; {figure.note}", size=11, fill=_GREY
        ),
        f'<rect x="{_LEFT}" y="{top + 4}" width="{round(right - _LEFT, 1)}" height="20" fill="{colour}"/>',
        f'<line x1="{left}" y1="{middle}" x2="{_x(high, end)}" y2="{middle}" stroke="#222222" stroke-width="2"/>',
    ]
    aim = _x(goal.share(goal.aim), end)
    made.append(f'<rect x="{aim - 1}" y="{top + 1}" width="3" height="26" fill="#ffffff" stroke="#222222"/>')
    made.append(_text(_WIDTH - 24, middle + 5, f"{figure.spread.median:.2f}", weight="bold", anchor="end"))
    return made


def _share(figure: Figure, goal: Goal) -> tuple[float, float, float]:
    """Median, least and most, as shares of the first goal."""
    ends = sorted((goal.share(figure.spread.low), goal.share(figure.spread.high)))
    return goal.share(figure.spread.median), ends[0], ends[1]


def _x(share: float, end: float) -> float:
    return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * max(0.0, min(share, end)) / end, 1)


def _legend(y: int) -> str:
    words = {"aim": "aim reached", "first": "first goal met", "missed": "missed"}
    return "".join(
        f'<rect x="{_LEFT + 150 * i}" y="{y - 11}" width="12" height="12" fill="{_COLOURS[name]}"/>'
        + _text(_LEFT + 150 * i + 18, y, word, size=12)
        for i, (name, word) in enumerate(words.items())
    )


def _text(
    x: float,
    y: float,
    said: str,
    *,
    size: int = 14,
    weight: str = "normal",
    anchor: str = "start",
    fill: str = "#222222",
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(said)}</text>'
    )

"""The ratios as a picture: for each workload with a target one bar per peer, on a logarithmic axis, as SVG."""

import math
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.report import OURS

COLOURS = {
    "numpy": "#3b6fb6",
    "cupy": "#2f7f8f",
    "jax": "#8a4fbf",
    "torch": "#e07b39",
    "torch compiled": "#b5462f",
    "torch nn.LSTM": "#e9b44c",
    "pytensor": "#2f8f6b",
    "theano": "#7a7f87",
}
INK, GREY, LIGHT = "#1f2933", "#6b7480", "#e3e7eb"
WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 1040, 400, 60, 96, 11, 14
#: Numbers stay legible on top of lines.
HALO = 'paint-order="stroke" stroke="white" stroke-width="3" stroke-linejoin="round"'
#: Ratios that the axis has room for at least.
LEAST, MOST = 0.5, 4.0


def draw(results: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """The picture's text: time of each peer ÷ ours, with what was to be reached as a mark."""
    rows = []
    for entry in results.values():
        target, times = entry.get("target"), entry["times"]
        if target and len(times) > 1 and OURS in times:
            ratios = {v: t[target["of"]] / times[OURS][target["of"]] for v, t in times.items() if v != OURS}
            name = entry["title"] + ("" if target["of"] == "step" else f" ({target['of']})")
            rows.append((name, target, ratios))
    peers = list(dict.fromkeys(peer for *_, ratios in rows for peer in ratios))
    shown = [ratio for *_, target, ratios in rows for ratio in (target["ratio"], *ratios.values())]
    low, high = min([LEAST, *shown]), max([MOST, *shown])
    threads = f", {about['threads']} threads" if "threads" in about else ""
    span = math.log10(high / low)
    left, scale = math.log10(low) - 0.08 * span, (WIDTH - LEFT - RIGHT) / (1.08 * span)  # room for numbers on the left

    def x(ratio: float) -> float:
        return LEFT + (math.log10(ratio) - left) * scale

    height = TOP + sum(len(ratios) * BAR + GAP for *_, ratios in rows) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        text(20, 28, "Time of each peer ÷ time of tinygraph", 'font-size="17" font-weight="600"'),
        text(20, 47, f"right of 1 tinygraph is faster; {about['machine']}{threads}, "
             f"commit {about['commit']}, {about['date']}", f'fill="{GREY}"'),
    ]  # fmt: skip
    place = 20.0
    for peer in peers:
        parts.append(f'<rect x="{place:.0f}" y="60" width="11" height="11" rx="2" fill="{COLOURS.get(peer, GREY)}"/>')
        parts.append(text(place + 16, 70, peer))
        place += 34 + 7 * len(peer)
    parts.append(f'<path d="M{place + 3:.0f} 58v15" stroke="{INK}" stroke-width="2"/>')
    parts.append(text(place + 12, 70, "to reach"))
    for tick in ticks(low, high):
        line = (INK, 1.2) if tick == 1 else (LIGHT, 1)
        parts.append(f'<path d="M{x(tick):.1f} {TOP - 8}V{height - 26}" stroke="{line[0]}" stroke-width="{line[1]}"/>')
        parts.append(text(x(tick), height - 10, f"{tick:g}", f'text-anchor="middle" fill="{GREY}"'))
    top = float(TOP)
    for name, target, ratios in rows:
        deep, numbers = len(ratios) * BAR, []
        parts.append(text(LEFT - 14, top + deep / 2 + 4, name, 'text-anchor="end"'))
        for i, (peer, ratio) in enumerate(ratios.items()):
            begin, end = sorted((x(1), x(ratio)))
            parts.append(
                f'<rect x="{begin:.1f}" y="{top + i * BAR:.1f}" width="{max(end - begin, 1):.1f}" height="{BAR - 2}" '
                f'rx="1.5" fill="{COLOURS.get(peer, GREY)}"><title>{escape(f"{peer}: {ratio:.2f}")}</title></rect>'
            )
            where, anchor = (end + 4, "start") if ratio >= 1 else (begin - 4, "end")
            style = f'font-size="9.5" text-anchor="{anchor}" {HALO}'
            numbers.append(text(where, top + i * BAR + 8.5, f"{ratio:.3g}", style))
        goal = x(target["ratio"])
        parts += [f'<path d="M{goal:.1f} {top - 3:.1f}v{deep + 4}" stroke="{INK}" stroke-width="2"/>', *numbers]
        top += deep + GAP
    return "\n".join([*parts, "</svg>"]) + "\n"


def text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def ticks(low: float, high: float) -> list[float]:
    """The powers of ten between two ratios, and twice and five times as much where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) < 5 else (1,)
    return [n for n in (f * 10.0**k for k in powers for f in factors) if low <= n <= high]

"""How variables, functions and Programs show themselves in a notebook."""

from __future__ import annotations

import html
from typing import Any

from tinygraph.graph import Variable
from tinygraph.viz.dot import DotMissingError, dot_text, render
from tinygraph.viz.draw import picture_of
from tinygraph.viz.maths import pprint

__all__ = ["repr_html", "repr_svg"]

#: Boxes in a picture that nobody asked for in particular.
_LIMIT = 60


def repr_svg(shown: Any) -> str | None:
    """The picture as SVG; None where ``dot`` is not installed, so that a notebook shows text instead."""
    try:
        svg = render(dot_text(picture_of(shown, limit=_LIMIT, shapes=False)), "svg").decode()
    except DotMissingError:
        return None
    return svg[svg.index("<svg") :]


def repr_html(shown: Any) -> str:
    """The expression as text, and under it the picture."""
    text = pprint(shown) if isinstance(shown, Variable) else repr(shown)
    if not isinstance(shown, Variable) and hasattr(shown, "instructions"):
        text = str(shown)
    return f"<pre>{html.escape(text)}</pre>{repr_svg(shown) or ''}"

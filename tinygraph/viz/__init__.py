"""Pictures and text of graphs, compiled functions and Programs; only reads them."""

from tinygraph.graph import services
from tinygraph.viz.dot import DotMissingError
from tinygraph.viz.draw import DrawPathError, GraphvizMissingError, draw, picture_of
from tinygraph.viz.html import draw_html
from tinygraph.viz.maths import pprint
from tinygraph.viz.notebook import repr_html, repr_svg
from tinygraph.viz.pydot import pydotprint
from tinygraph.viz.subject import DrawError
from tinygraph.viz.tree import debugprint, min_informative_str

__all__ = [
    "DotMissingError",
    "DrawError",
    "DrawPathError",
    "GraphvizMissingError",
    "debugprint",
    "draw",
    "draw_html",
    "min_informative_str",
    "picture_of",
    "pprint",
    "pydotprint",
]

services.provide("debugprint", debugprint)
services.provide("repr_html", repr_html)
services.provide("repr_svg", repr_svg)

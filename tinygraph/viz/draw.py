"""``draw``: a picture of a graph, of a compiled function or of a Program."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tinygraph.errors import TinygraphError
from tinygraph.graph import Apply, Variable
from tinygraph.viz.dot import FORMATS, DotMissingError, dot_body, render
from tinygraph.viz.graph import graph_picture
from tinygraph.viz.model import Picture
from tinygraph.viz.program import program_picture
from tinygraph.viz.subject import DrawError, subject_of

__all__ = ["DrawPathError", "GraphvizMissingError", "draw", "picture_of", "write"]

#: How many boxes a picture shows where nobody says otherwise; larger ones are no longer read.
LIMIT = 250

_STAGES = ("written", "rewritten", "program")


class DrawPathError(TinygraphError, OSError):
    """A file that a picture cannot be written to."""


class GraphvizMissingError(TinygraphError, ImportError):
    """The Python package graphviz is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "drawing needs the Python package graphviz", hint="pip install graphviz, or pip install 'tinygraph[viz]'"
        )


def draw(
    shown: Any,
    path: Any = None,
    format: str | None = None,
    *,
    stage: str | None = None,
    depth: int | None = None,
    limit: int | None = LIMIT,
    collapse: bool = False,
    fold: bool | Collection[str] = False,
    shapes: bool = True,
    heat: Any = None,
) -> Any:
    """A picture, as a ``graphviz.Digraph``, which shows itself in a notebook; its DOT text is ``.source``.

    Blue boxes compute what was written, orange ones its gradient, violet ones the gradient of that; each gradient box
    says what it differentiates (``∂ tanh``). Inputs are green, shared variables yellow cylinders, their new values
    dashed ones, results framed twice. Edges say dtype and shape; dashed edges carry sizes only. Variables whose names
    have a prefix (``"layer1/W"``), and what was built under ``name_scope``, stand in clusters.

    Of a Program it draws the instructions in their order with FLOPs, bytes and views; values that share memory have one
    colour.

    Parameters
    ----------
    shown
        A variable, a list or dict of variables, a compiled function or a Program.
    path
        A file to write the picture to. The format follows from its ending: svg, png, pdf, dot or gv.
    format
        ``"svg"``, ``"png"`` or ``"pdf"``: of the file, and of what ``.pipe()`` and ``.render()`` give.
    stage
        Of a function: ``"written"``, ``"rewritten"`` or ``"program"``, what the last call ran. By default the Program,
        or the rewritten graph where there was no call yet.
    depth
        How many operations behind a result are shown; None for all.
    limit
        How many boxes are shown, those nearest the results first; None for all. Stubs say how many there are more.
    collapse
        Fold chains of elementwise operations into one box with their expression.
    fold
        True to fold every cluster into one box, or the names of the clusters to fold.
    shapes
        False leaves out what only computes the shape that something is repeated, summed or reshaped to.
    heat
        Numbers to show as heat: one for each instruction of a Program, or a mapping from variables.

    Raises
    ------
    DrawError
        If that cannot be drawn, or not in this way.
    DrawPathError
        If the file cannot be written.
    DotMissingError
        If a file is asked for and the ``dot`` program is not installed; the DOT text is in its ``source``.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x = T.matrix("x")
    >>> picture = tg.draw(T.tanh(x))
    >>> "label=tanh" in picture.source.replace('"', "")
    True
    """
    suffix = _suffix(path, format)
    picture = picture_of(
        shown, stage=stage, depth=depth, limit=limit, collapse=collapse, fold=fold, shapes=shapes, heat=heat
    )
    drawing = _digraph(picture, format or (suffix if suffix in FORMATS else None))
    if path is not None:
        source = drawing.source
        write(path, source.encode() if suffix in ("dot", "gv") else render(source, suffix))
    return drawing


def picture_of(
    shown: Any,
    *,
    stage: str | None = None,
    depth: int | None = None,
    limit: int | None = LIMIT,
    collapse: bool = False,
    fold: bool | Collection[str] = False,
    shapes: bool = True,
    heat: Any = None,
) -> Picture:
    """The model of the picture that ``draw`` draws; the arguments are the same."""
    if stage is not None and stage not in _STAGES:
        raise DrawError(f"there is no stage {stage!r}", expected=", ".join(_STAGES), actual=repr(stage))
    for name, value in (("depth", depth), ("limit", limit)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise DrawError(f"{name} is a whole number from 0, or None for no limit", actual=repr(value))
    called = hasattr(shown, "stats") and bool(shown.stats())
    subject = subject_of(shown, stage or ("program" if called else "rewritten"))
    if subject.program is not None:
        return program_picture(subject, depth, limit, _sequence(heat, len(subject.program.instructions)))
    return graph_picture(subject, depth, limit, collapse, fold, shapes, _mapping(heat))


def _sequence(heat: Any, count: int) -> Sequence[float] | None:
    if heat is None:
        return None
    values = list(heat) if not isinstance(heat, (str, Mapping)) and hasattr(heat, "__iter__") else None
    if values is None or len(values) != count:
        raise DrawError(
            "the heat of a Program is one number for each instruction",
            expected=f"{count} numbers",
            actual=f"{heat!r:.60}",
        )
    return [float(v) for v in values]


def _mapping(heat: Any) -> Mapping[Any, float]:
    if heat is None:
        return {}
    if not isinstance(heat, Mapping) or not all(isinstance(key, (Variable, Apply)) for key in heat):
        raise DrawError("the heat of a graph is a mapping from its variables to numbers", actual=f"{heat!r:.60}")
    return {key: float(value) for key, value in heat.items()}


def _suffix(path: Any, format: str | None) -> str:
    """The format of the file, checked; "" where there is none."""
    if format is not None and format not in FORMATS:
        raise DrawError(f"there is no format {format!r}", expected=", ".join(FORMATS), actual=repr(format))
    if path is None:
        return ""
    if not isinstance(path, (str, os.PathLike)):
        raise DrawError("a path is needed", expected="text or pathlib.Path", actual=repr(path))
    suffix = format or os.path.splitext(os.fspath(path))[1].lstrip(".").lower()
    if suffix not in (*FORMATS, "dot", "gv"):
        raise DrawError(
            f"the ending of {os.fspath(path)} says no format",
            expected=", ".join(f".{name}" for name in (*FORMATS, "dot", "gv")),
            hint="name the file so, or give format=",
        )
    return suffix


def write(path: Any, content: bytes) -> None:
    """Write a file.

    Raises
    ------
    DrawPathError
        If that is not possible.
    """
    try:
        with open(path, "wb") as file:
            file.write(content)
    except OSError as err:
        raise DrawPathError(
            f"cannot write {os.fspath(path)}: {err.strerror or err}", hint="choose a folder that exists and is yours"
        ) from err


def _digraph(picture: Picture, format: str | None) -> Any:
    try:
        import graphviz
    except ImportError as err:
        raise GraphvizMissingError from err

    class Drawing(graphviz.Digraph):
        """A picture whose errors say how to install what is missing."""

        def pipe(self, *args: Any, **kwargs: Any) -> Any:
            with _dot_needed(graphviz, self.source):
                return super().pipe(*args, **kwargs)

        def render(self, *args: Any, **kwargs: Any) -> Any:
            with _dot_needed(graphviz, self.source):
                return super().render(*args, **kwargs)

        def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> Any:
            with _dot_needed(graphviz, self.source):
                return super()._repr_mimebundle_(*args, **kwargs)

    drawing = Drawing(format=format, body=[f"  {line}\n" for line in dot_body(picture)])
    return drawing


class _dot_needed:
    """Turns the package's error for a missing ``dot`` into ours."""

    def __init__(self, graphviz: Any, source: str) -> None:
        self._missing = graphviz.ExecutableNotFound
        self._source = source

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, self._missing):
            raise DotMissingError(self._source) from error

"""Theano's ``pydotprint``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

from tinygraph.viz.dot import FORMATS, dot_text, render
from tinygraph.viz.draw import LIMIT, picture_of, write
from tinygraph.viz.subject import DrawError

__all__ = ["pydotprint"]


def pydotprint(
    fct: Any,
    outfile: Any = None,
    compact: bool = True,
    format: str = "png",
    with_ids: bool = False,
    high_contrast: bool = True,
    cond_highlight: Any = None,
    colorCodes: Mapping[str, str] | None = None,
    max_label_size: int = 70,
    scan_graphs: bool = False,
    var_with_name_simple: bool = False,
    print_output_file: bool = True,
    return_image: bool = False,
) -> bytes | None:
    """Draw a graph to a file, as in Theano; ``tg.draw`` does the same with more to choose from.

    Parameters
    ----------
    fct
        A compiled function, a variable or a list of variables.
    outfile
        The file; by default one in the folder for temporary files.
    compact
        False also draws what only computes shapes.
    format
        ``"png"``, ``"svg"`` or ``"pdf"``.
    max_label_size
        Longer labels are cut.
    print_output_file
        Print the name of the file.
    return_image
        Return the picture as bytes and write no file.
    with_ids, high_contrast, cond_highlight, colorCodes, scan_graphs, var_with_name_simple
        Accepted as in Theano, without effect: looks are always the same here.

    Raises
    ------
    DrawError, DrawPathError, DotMissingError
        As ``tg.draw``.
    """
    if format not in FORMATS:
        raise DrawError(f"there is no format {format!r}", expected=", ".join(FORMATS), actual=repr(format))
    stage = "rewritten" if hasattr(fct, "stats") else None
    picture = picture_of(fct, stage=stage, limit=LIMIT, shapes=not compact)
    for node in picture.nodes:
        lines = [node.text, *node.notes]
        node.text, *node.notes = (
            line if len(line) <= max_label_size else line[: max_label_size - 1] + "…" for line in lines
        )
    image = render(dot_text(picture), format)
    if return_image:
        return image
    path = outfile or os.path.join(tempfile.gettempdir(), f"tinygraph.pydotprint.{format}")
    write(path, image)
    if print_output_file:
        print("The output file is available at", os.fspath(path))
    return None

"""Graphs as an indented tree, in which what stands there twice is referred to by its id."""

from __future__ import annotations

import string
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygraph.graph import Apply, Variable, toposort
from tinygraph.program.text import value_text
from tinygraph.viz.maths import op_words
from tinygraph.viz.subject import DrawError, subject_of

__all__ = ["debugprint", "min_informative_str"]

_IDS = ("CHAR", "int", "id", "")
#: Indentation of ``min_informative_str``, at most.
_INDENT = 80
#: Deeper trees go on further down, at the margin: else the indentation of a deep graph grows with its square.
_DEEPEST = 40


def debugprint(
    obj: Any,
    depth: int = -1,
    print_type: bool = False,
    file: Any = None,
    ids: str = "CHAR",
    stop_on_name: bool = False,
    done: dict[Any, str] | None = None,
    print_storage: bool = False,
    print_clients: bool = False,
    used_ids: dict[Any, str] | None = None,
) -> Any:
    """Print a graph as a tree: each variable under what is computed from it.

    What was printed already is only referred to by its id, and three dots say that there is more behind it. Trees of
    more than 40 levels go on in a tree of their own further down, which an arrow announces.

    Parameters
    ----------
    obj
        A variable, an Apply node, a compiled function (what it computes, as it was rewritten, with the position of each
        operation in the order of computation), or a list of variables. Numbers and arrays are printed as they are.
    depth
        How deep to go; -1 for all.
    print_type
        Print the type of every variable.
    file
        None for standard output, ``"str"`` to return the text, or a file.
    ids
        ``"CHAR"`` for letters, ``"int"`` for numbers, ``"id"`` for Python's ids, ``""`` for none.
    stop_on_name
        Do not look behind variables that have a name.
    done, used_ids
        Dicts that carry what was printed, and under which id, from one call to the next.
    print_storage
        Print the values of shared variables.
    print_clients
        Name the operations that read a variable, where there are several.

    Returns
    -------
    str, file or None
        The text for ``file="str"``, the file that was given, or None.

    >>> import tinygraph as tg, tinygraph.tensor as T
    >>> x, y = T.dvectors("x", "y")
    >>> s = x + y
    >>> tg.debugprint(T.exp(s) * s)
    mul [id A]
     ├─ exp [id B]
     │  └─ add [id C]
     │     ├─ x [id D]
     │     └─ y [id E]
     └─ add [id C]
        └─ ···
    """
    if isinstance(depth, bool) or not isinstance(depth, int):
        raise DrawError("depth is a whole number, -1 for all", actual=repr(depth))
    if ids not in _IDS:
        raise DrawError(f"there are no ids {ids!r}", expected=", ".join(map(repr, _IDS)), actual=repr(ids))
    if file is not None and file != "str" and not hasattr(file, "write"):
        raise DrawError("file is None, 'str' or something with a write method", actual=repr(file))
    tree = _Tree(depth, print_type, ids, stop_on_name, print_storage, done, used_ids)
    lines: list[str] = []
    variables = []
    for item in obj if isinstance(obj, (list, tuple)) else [obj]:
        if isinstance(item, (int, float, np.ndarray, np.generic)):
            lines.append(str(item))
        else:
            subject = subject_of(item)
            if subject.function is not None:
                tree.positions.update({node: i for i, node in enumerate(toposort(subject.variables))})
            if subject.program is not None:
                lines.append(str(subject.program))
            variables.extend(subject.variables)
    if print_clients:
        tree.count_clients(variables)
    for variable in variables:
        lines.extend(tree.lines(variable))
    lines.extend(tree.inner_lines())
    text = "".join(line + "\n" for line in lines)
    if file == "str":
        return text
    (file or sys.stdout).write(text)
    return file


class _Tree:
    def __init__(
        self,
        depth: int,
        print_type: bool,
        ids: str,
        stop_on_name: bool,
        print_storage: bool,
        done: dict[Any, str] | None,
        used_ids: dict[Any, str] | None,
    ) -> None:
        self.depth = depth
        self.print_type = print_type
        self.ids = ids
        self.stop_on_name = stop_on_name
        self.print_storage = print_storage
        self.done = {} if done is None else done
        self.used = {} if used_ids is None else used_ids
        self.positions: dict[Apply, int] = {}
        self.clients: dict[Variable, list[Any]] = {}
        self.loops: dict[Apply, None] = {}

    def count_clients(self, roots: list[Variable]) -> None:
        """Note who reads each variable."""
        for root in roots:
            self.clients.setdefault(root, []).append("output")
        for node in toposort(roots):
            for variable in dict.fromkeys(node.inputs):
                self.clients.setdefault(variable, []).append(node)

    def lines(self, root: Variable, margin: str = "") -> Iterator[str]:
        """The lines of one tree, and of those that it goes on in."""
        trees = deque([(root, 0)])
        while trees:
            variable, level = trees.popleft()
            if variable.owner not in self.done or not level:
                yield from self._lines(variable, margin, level, trees)

    def _lines(self, root: Variable, margin: str, start: int, trees: deque[tuple[Variable, int]]) -> Iterator[str]:
        # Each entry: the variable, what stands in front of its line, and in front of the lines below it.
        stack = [(root, margin, margin, start)]
        while stack:
            variable, front, below, level = stack.pop()
            if self.depth >= 0 and level >= self.depth:
                continue
            node = variable.owner
            if node is not None and level == start + _DEEPEST and node not in self.done:
                yield f"{front}{self._words(variable)} ↓"
                trees.append((variable, level))
                continue
            repeated = node is not None and node in self.done
            yield front + self._line(variable)
            if node is None or (self.stop_on_name and variable.name is not None):
                continue
            if node.op.bodies:
                self.loops[node] = None
            if repeated:
                if node.inputs:
                    yield f"{below} └─ ···"
                continue
            last = len(node.inputs) - 1
            for i, operand in reversed(list(enumerate(node.inputs))):
                branch, rail = (" └─ ", "    ") if i == last else (" ├─ ", " │  ")
                stack.append((operand, below + branch, below + rail, level + 1))

    def inner_lines(self) -> Iterator[str]:
        """The trees of the inner graphs that were met, and of those inside them."""
        seen: set[Apply] = set()
        while pending := [node for node in self.loops if node not in seen]:
            if not seen:
                yield ""
                yield "Inner graphs:"
            for node in pending:
                seen.add(node)
                yield ""
                yield f"{node.op} {self._id(node)}".rstrip()
                for body in node.op.bodies:
                    for output in body.outputs:
                        yield from self.lines(output, " > ")

    def _words(self, variable: Variable) -> str:
        """An operation or a leaf, and its id."""
        node = variable.owner
        if node is None:
            return f"{variable} {self._id(variable)}".rstrip()
        several = len(node.outputs) > 1
        return f"{op_words(node)}{f'.{variable.index}' if several else ''} {self._id(node)}".rstrip()

    def _line(self, variable: Variable) -> str:
        node = variable.owner
        words = [self._words(variable)]
        if node is not None:
            self.done[node] = self.used[node]
        if self.print_type:
            words.append(f"<{variable.type}>")
        if node is not None and variable.name is not None:
            words.append(repr(variable.name))
        if node in self.positions:
            words.append(str(self.positions[node]))
        if self.print_storage and hasattr(variable, "get_value"):
            words.append(value_text(variable.get_value(borrow=True)))
        readers = self.clients.get(variable, ())
        if len(readers) > 1:
            words.append(f"clients: {', '.join(r if isinstance(r, str) else self._id(r) for r in readers)}")
        return " ".join(words)

    def _id(self, thing: Any) -> str:
        known = self.used.get(thing)
        if known is None:
            number = len(self.used)
            mark = {"CHAR": _letters(number), "int": str(number), "id": str(id(thing)), "": ""}[self.ids]
            known = self.used[thing] = f"[id {mark}]" if mark else ""
        return known


def _letters(number: int) -> str:
    """A, B, … Z, BA, BB …, as in Theano.

    >>> _letters(0), _letters(25), _letters(26)
    ('A', 'Z', 'BA')
    """
    text = ""
    while number or not text:
        number, digit = divmod(number, 26)
        text = string.ascii_uppercase[digit] + text
    return text


def min_informative_str(obj: Any, indent_level: int = 0) -> str:
    """As much of a graph as is needed to say what it computes in terms of named variables and constants.

    >>> import tinygraph.tensor as T
    >>> a, b, d, e = T.matrices("A", "B", "D", "E")
    >>> c = a + b
    >>> c.name = "C"
    >>> print(min_informative_str(c + (d + e)))
    A. add
     B. C
     C. add
      D. D
      E. E
    """
    rows: list[str] = []
    tags: dict[Any, str] = {}
    stack = [(obj, indent_level)]
    while stack:
        item, level = stack.pop()
        indent = " " * min(level, _INDENT)
        key = item if isinstance(item, Variable) else id(item)
        if key in tags:
            rows.append(f"{indent}<{tags[key]}>")
            continue
        tags[key] = _letters(len(tags))
        owner = getattr(item, "owner", None)
        name = getattr(item, "name", None)
        if isinstance(item, Variable):
            text = name or (str(owner.op) if owner is not None else str(item))
        else:
            text = "<ndarray>" if isinstance(item, np.ndarray) else str(item)
        rows.append(f"{indent}{tags[key]}. {text}")
        if name is None and owner is not None:
            stack.extend((operand, level + 1) for operand in reversed(owner.inputs))
    return "\n".join(rows)

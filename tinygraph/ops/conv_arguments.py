"""The arguments of convolutions, in every form that programs write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygraph.errors import DtypeError, ShapeError, TinygraphError
from tinygraph.graph import Variable
from tinygraph.ops.axes import located
from tinygraph.ops.convert import as_operands, as_tensor
from tinygraph.ops.convolution import Border, Conv, ConvInputs, Convolution, ConvWeights
from tinygraph.ops.layout import SpecifyShape
from tinygraph.ops.shape import as_shape, extent, known_size

__all__ = ["Fields", "border", "claimed", "forward", "settings", "steps", "to_inputs", "to_weights"]

#: The fields of a ``Convolution``.
Fields = tuple[Any, ...]


def border(border_mode: Any, spatial: int, op: str) -> tuple[Border, ...]:
    """A border mode in any of its forms, as an entry for each spatial axis."""
    axes = border_mode if isinstance(border_mode, (tuple, list)) else (border_mode,) * spatial
    if len(axes) != spatial:
        raise located(
            ShapeError("a border has an entry for each spatial axis", expected=f"{spatial}", actual=repr(border_mode)),
            op,
        )
    return tuple(_border_of_axis(axis, op) for axis in axes)


#: Border modes that have a name.
_NAMED: dict[str, Border] = {"valid": (0, 0), "half": "half", "full": "full"}


def _border_of_axis(mode: Any, op: str) -> Border:
    if isinstance(mode, str) and mode in _NAMED:
        return _NAMED[mode]
    pair = mode if isinstance(mode, (tuple, list)) else (mode, mode)
    if isinstance(mode, str) or len(pair) != 2:
        raise located(
            ShapeError(
                f"there is no border mode {mode!r}",
                expected="'valid', 'full', 'half', an integer, or an integer or a pair for each spatial axis",
                actual=repr(mode),
                hint="what others call 'same' is 'half'" if mode == "same" else "",
            ),
            op,
        )
    before, behind = (known_size(n, op) for n in pair)
    if min(before, behind) < 0:
        raise located(ShapeError("a border has no negative width", expected="at least 0", actual=repr(mode)), op)
    return before, behind


def steps(given: Any, spatial: int, what: str, op: str, least: int = 1) -> tuple[int, ...]:
    """One integer of at least ``least`` for each spatial axis, from one for all of them, a sequence or a vector."""
    entries: Any = given.abstract.value if isinstance(given, Variable) else given
    if entries is None or (isinstance(entries, tuple) and None in entries):
        raise located(
            DtypeError(f"{what} must be known when the graph is built", expected=f"{spatial} ints", actual=f"{given}"),
            op,
        )
    if isinstance(entries, (tuple, list)) or getattr(entries, "ndim", 0) == 1:
        known = tuple(known_size(n, op) for n in entries)
    else:
        known = (known_size(entries, op),) * spatial
    if len(known) != spatial or any(n < least for n in known):
        raise located(
            ShapeError(
                f"{what} needs one integer for each spatial axis",
                expected=f"{spatial} integers of at least {least}",
                actual=f"{given}",
            ),
            op,
        )
    return known


def settings(
    spatial: int, op: str, border_mode: Any, subsample: Any, flip: Any, dilation: Any, groups: Any, unshared: Any
) -> Fields:
    """The fields of a ``Convolution``."""
    number = known_size(groups, op)
    if number < 1:
        raise located(ShapeError("num_groups is a positive integer", expected="at least 1", actual=str(number)), op)
    strides = steps(subsample, spatial, "subsample", op)
    gaps = steps(dilation, spatial, "filter_dilation", op)
    return border(border_mode, spatial, op), strides, gaps, number, bool(flip), bool(unshared)


def claimed(x: Any, shape: Any, op: str) -> Any:
    """``x``, whose shape the caller claims to know, wholly or (None) in part; the claim is checked."""
    if shape is None:
        return x
    if not isinstance(shape, (tuple, list)) or len(shape) != x.ndim:
        raise located(
            ShapeError("the shape has another number of entries", expected=f"{x.ndim} entries", actual=repr(shape)), op
        )
    extents = tuple(None if n is None else known_size(n, op) for n in shape)
    return x if extents == x.type.shape or not any(n is not None for n in extents) else SpecifyShape(extents)(x)


def _operands(node: Convolution, **given: Any) -> list[Any]:
    """Operands as tensors of one dtype and of the right numbers of dimensions."""
    tensors, _ = as_operands([as_tensor(x) for x in given.values()])
    try:
        node.check(**{label: x.abstract for label, x in zip(given, tensors, strict=True)})
    except TinygraphError as err:
        located(err, node.name)
        raise
    return tensors


def forward(fields: Fields, x: Any, w: Any, x_shape: Any, w_shape: Any) -> Any:
    node = Conv(*fields)
    x, w = _operands(node, images=x, filters=w)
    return node(claimed(x, x_shape, node.name), claimed(w, w_shape, node.name))


def to_inputs(fields: Fields, y: Any, w: Any, x_shape: Any, w_shape: Any) -> Any:
    node = ConvInputs(*fields)
    y, w = _operands(node, output=y, filters=w)
    w = claimed(w, w_shape, node.name)
    channels = extent(w, w.ndim - node.spatial - 1) * node.groups
    return node(y, w, _shape(x_shape, (extent(y, 0), channels), 2 + node.spatial, node.name))


def to_weights(fields: Fields, x: Any, y: Any, w_shape: Any, x_shape: Any) -> Any:
    node = ConvWeights(*fields)
    x, y = _operands(node, images=x, output=y)
    x = claimed(x, x_shape, node.name)
    positions = [extent(y, 2 + axis) for axis in range(node.spatial)] if node.unshared else []
    follows = (extent(y, 1), *positions, extent(x, 1) // node.groups)
    return node(x, y, _shape(w_shape, follows, len(follows) + node.spatial, node.name))


def _shape(shape: Any, follows: Sequence[Any], length: int, op: str) -> Any:
    """A shape argument as a vector; its first entries may be None: they follow from the operands."""
    if not isinstance(shape, (tuple, list)):
        return as_shape(shape, op, length)
    if len(shape) != length or any(n is None for n in shape[len(follows) :]):
        raise located(
            ShapeError(
                "several extents can give this output, so the shape is needed",
                expected=f"{length} entries, of which only the first {len(follows)} may be None",
                actual=repr(shape),
            ),
            op,
        )
    return as_shape([follows[i] if n is None else n for i, n in enumerate(shape)], op)

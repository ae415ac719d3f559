"""Op table: shapes, the order of axes, joining, splitting, repeating, rolling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygraph.tensor as T
from tests.optable.case import Arg, Case

__all__ = ["CASES", "moves", "number", "numbers"]

ANYTHING = ("bool", "int64", "uint8")
X = Arg((3, 4))
CUBE = Arg((2, 3, 4))
VECTOR = Arg((5,))
SCALAR = Arg(())
EMPTY = (((0, 4),), ((3, 0),))


def number(n: int) -> Arg:
    """A symbolic int64 scalar with this value."""
    return Arg((), low=n, high=n, dtype="int64")


def numbers(*values: int) -> Arg:
    """A symbolic int64 vector with these values."""
    return Arg((len(values),), dtype="int64", draw=lambda rng, shape: np.array(values))


def moves(name: str, build: Callable[..., Any], reference: Callable[..., Any], *args: Arg, **fields: Any) -> Case:
    """A row for a function that only moves, repeats or drops values, so that it takes every dtype."""
    function = name.partition(":")[0]
    return Case(name, function, build, reference, args or (X,), integers=ANYTHING, **fields)


RESHAPE = [
    moves("reshape: ints", lambda x: T.reshape(x, (2, 6)), lambda x: x.reshape(2, 6)),
    moves("reshape: -1", lambda x: T.reshape(x, [-1, 2]), lambda x: x.reshape(-1, 2), empty=EMPTY),
    moves("reshape: one number", lambda x: T.reshape(x, 12), lambda x: x.reshape(12)),
    moves("reshape: to 0-d", lambda x: T.reshape(x, ()), lambda x: x.reshape(()), Arg((1, 1))),
    moves(
        "reshape: symbolic entries",
        lambda x, n: T.reshape(x, (n, x.shape[0], -1)),
        lambda x, n: x.reshape(int(n), x.shape[0], -1),
        X,
        number(2),
    ),
    moves(
        "reshape: symbolic vector",
        lambda x, shape: T.reshape(x, shape, ndim=3),
        lambda x, shape: x.reshape(tuple(shape)),
        X,
        numbers(2, 1, 6),
    ),
    moves(
        "reshape: shape of another",
        lambda x, y: T.reshape(x, y.shape),
        lambda x, y: x.reshape(y.shape),
        X,
        Arg((6, 2)),
        wrt=(0,),
    ),
    moves("flatten", T.flatten, np.ravel, CUBE, empty=(((2, 0, 4),),)),
    moves("flatten: 0-d", T.flatten, np.ravel, SCALAR),
    moves("flatten: to 2", lambda x: T.flatten(x, 2), lambda x: x.reshape(2, 12), CUBE, wrt=(0,)),
    moves(
        "flatten: nothing left",
        lambda x: T.flatten(x, ndim=2),
        lambda x: x.reshape(x.shape[0], x.shape[1] * x.shape[2]),
        CUBE,
        empty=(((0, 3, 4),), ((2, 0, 4),)),
    ),
    moves("flatten: outdim", lambda x: T.flatten(x, outdim=3), lambda x: x, CUBE),
    moves("ravel", T.ravel, np.ravel),
    moves("squeeze: an axis", lambda x: T.squeeze(x, axis=1), lambda x: x[:, 0], Arg((3, 1))),
    moves("squeeze: a tuple", lambda x: T.squeeze(x, axis=(0, -1)), lambda x: x[0, :, 0], Arg((1, 3, 1))),
    moves(
        "squeeze: known ones",
        lambda x: T.squeeze(T.addbroadcast(x, 0)),
        lambda x: x[0],
        Arg((1, 4)),
        empty=(((1, 0),),),
    ),
    moves("expand_dims: an axis", lambda x: T.expand_dims(x, 1), lambda x: x[:, None]),
    moves("expand_dims: a tuple", lambda x: T.expand_dims(x, (-1, 0)), lambda x: x[None, :, :, None], empty=EMPTY),
    moves("shape_padleft", T.shape_padleft, lambda x: x[None]),
    moves("shape_padleft: two", lambda x: T.shape_padleft(x, 2), lambda x: x[None, None], SCALAR),
    moves("shape_padright", T.shape_padright, lambda x: x[..., None]),
    moves("shape_padright: two", lambda x: T.shape_padright(x, n_ones=2), lambda x: x[..., None, None]),
    moves("shape_padaxis", lambda x: T.shape_padaxis(x, 1), lambda x: x[:, None]),
    moves("shape_padaxis: negative", lambda x: T.shape_padaxis(x, axis=-1), lambda x: x[..., None]),
]

AXES = [
    moves("dimshuffle: one by one", lambda x: T.dimshuffle(x, 1, "x", 0), lambda x: x.T[:, None], empty=EMPTY),
    moves("dimshuffle: a list", lambda x: T.dimshuffle(x, ["x", 0, 1]), lambda x: x[None]),
    moves("dimshuffle: dropped", lambda x: T.dimshuffle(x, 1), lambda x: x[0], Arg((1, 4))),
    moves("dimshuffle: 0-d", lambda x: T.dimshuffle(x, "x", "x"), lambda x: x[None, None], SCALAR),
    moves("transpose", T.transpose, np.transpose, CUBE),
    moves("transpose: axes", lambda x: T.transpose(x, (1, -1, 0)), lambda x: x.transpose(1, 2, 0), CUBE),
    moves("swapaxes", lambda x: T.swapaxes(x, 0, -1), lambda x: x.swapaxes(0, 2), CUBE),
    moves("moveaxis", lambda x: T.moveaxis(x, 0, -1), lambda x: np.moveaxis(x, 0, -1), CUBE),
    moves("moveaxis: two", lambda x: T.moveaxis(x, (0, 1), [2, 0]), lambda x: np.moveaxis(x, (0, 1), (2, 0)), CUBE),
]

KNOWN = [
    moves("broadcast_to", lambda x: T.broadcast_to(x, (2, 3, 4)), lambda x: np.broadcast_to(x, (2, 3, 4)), Arg((3, 1))),
    moves(
        "broadcast_to: symbolic",
        lambda x, n: T.broadcast_to(x, (n, 4)),
        lambda x, n: np.broadcast_to(x, (int(n), 4)),
        Arg((1, 4)),
        number(3),
    ),
    moves(
        "broadcast_to: nothing", lambda x: T.broadcast_to(x, (0, 4)), lambda x: np.broadcast_to(x, (0, 4)), Arg((4,))
    ),
    moves("specify_shape", lambda x: T.specify_shape(x, (3, None)), lambda x: x),
    moves("specify_shape: symbolic", lambda x, n: T.specify_shape(x, (n, None)), lambda x, n: x, X, number(3)),
    moves("specify_shape: vector", lambda x, y: T.specify_shape(x, y.shape), lambda x, y: x, X, X, wrt=(0,)),
    moves("addbroadcast", lambda x: T.addbroadcast(x, 0), lambda x: x, Arg((1, 4))),
    moves("addbroadcast: two", lambda x: T.addbroadcast(x, 0, -1), lambda x: x, Arg((1, 3, 1))),
    moves("unbroadcast", lambda x: T.unbroadcast(x, 0), lambda x: x),
    moves("patternbroadcast", lambda x: T.patternbroadcast(x, (False, True)), lambda x: x, Arg((3, 1))),
    moves("shape", T.shape, lambda x: np.array(x.shape), wrt=(), empty=EMPTY),
    moves("shape: 0-d", T.shape, lambda x: np.array([], dtype="int64"), SCALAR, wrt=()),
]

JOIN = [
    moves("concatenate", lambda x, y: T.concatenate([x, y]), lambda x, y: np.concatenate([x, y]), X, Arg((2, 4))),
    moves(
        "concatenate: last axis",
        lambda x, y: T.concatenate((x, y), axis=-1),
        lambda x, y: np.concatenate([x, y], -1),
        X,
        Arg((3, 2)),
        empty=(((3, 0), (3, 2)), ((0, 4), (0, 2)), ((3, 0), (3, 0))),
    ),
    moves("concatenate: twice the same", lambda x: T.concatenate([x, x], 1), lambda x: np.concatenate([x, x], 1)),
    moves("concatenate: one", lambda x: T.concatenate([x]), lambda x: x),
    moves("join", lambda x, y: T.join(1, x, y), lambda x, y: np.concatenate([x, y], 1), X, X),
    moves("stack", lambda x, y: T.stack([x, y]), lambda x, y: np.stack([x, y]), X, X, empty=(((0, 4), (0, 4)),)),
    moves("stack: axis", lambda x, y: T.stack([x, y], axis=-1), lambda x, y: np.stack([x, y], -1), X, X),
    moves("stack: axis by position", lambda x, y: T.stack((x, y), 1), lambda x, y: np.stack([x, y], 1), X, X),
    moves("stack: one by one", T.stack, lambda x, y: np.stack([x, y]), SCALAR, SCALAR),
    moves(
        "stacklists",
        lambda x, y: T.stacklists([[x, y], [y, x]]),
        lambda x, y: np.stack([np.stack([x, y]), np.stack([y, x])]),
        VECTOR,
        VECTOR,
    ),
    moves("horizontal_stack", T.horizontal_stack, lambda x, y: np.hstack([x, y]), X, X),
    moves("vertical_stack", T.vertical_stack, lambda x, y: np.vstack([x, y]), X, X),
    moves("split", lambda x: T.split(x, [2, 1], 2), lambda x: [x[:2], x[2:]], empty=(((3, 0),),)),
    moves(
        "split: empty piece",
        lambda x: T.split(x, (1, 0, 3), 3, axis=-1),
        lambda x: [x[:, :1], x[:, 1:1], x[:, 1:]],
        empty=(((0, 4),),),
    ),
    moves(
        "split: symbolic",
        lambda x, sizes: T.split(x, sizes, n_splits=2, axis=1),
        lambda x, sizes: [x[:, : sizes[0]], x[:, sizes[0] :]],
        X,
        numbers(1, 3),
    ),
    moves("split: one", lambda x: T.split(x, [3], 1), lambda x: x),
]

REPEAT = [
    moves("tile: number", lambda x: T.tile(x, 2), lambda x: np.tile(x, 2), empty=EMPTY),
    moves("tile: tuple", lambda x: T.tile(x, (2, 3)), lambda x: np.tile(x, (2, 3))),
    moves("tile: more axes", lambda x: T.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3))),
    moves("tile: never", lambda x: T.tile(x, (0, 1)), lambda x: np.tile(x, (0, 1))),
    moves("tile: 0-d", lambda x: T.tile(x, 3), lambda x: np.tile(x, 3), SCALAR),
    moves("tile: ndim", lambda x: T.tile(x, 2, ndim=3), lambda x: np.tile(x, (1, 1, 2))),
    moves(
        "tile: symbolic",
        lambda x, n: T.tile(x, (n, 2)),
        lambda x, n: np.tile(x, (int(n), 2)),
        X,
        number(3),
    ),
    moves(
        "tile: symbolic vector",
        lambda x, reps: T.tile(x, reps, ndim=2),
        lambda x, reps: np.tile(x, tuple(reps)),
        X,
        numbers(2, 3),
    ),
    moves(
        "tile: short symbolic vector",
        lambda x, reps: T.tile(x, reps, ndim=3),
        lambda x, reps: np.tile(x, (1, 1, int(reps[0]))),
        X,
        numbers(2),
    ),
    moves("repeat: flat", lambda x: T.repeat(x, 2), lambda x: np.repeat(x, 2), empty=EMPTY),
    moves("repeat: axis", lambda x: T.repeat(x, 3, axis=-1), lambda x: np.repeat(x, 3, -1), empty=EMPTY),
    moves("repeat: symbolic", lambda x, n: T.repeat(x, n, 0), lambda x, n: np.repeat(x, int(n), 0), X, number(2)),
    moves("repeat: each", lambda x: T.repeat(x, [2, 0, 1], axis=0), lambda x: np.repeat(x, [2, 0, 1], 0)),
    moves("repeat: each alike", lambda x: T.repeat(x, [2], axis=1), lambda x: np.repeat(x, [2], 1), empty=EMPTY),
    moves(
        "repeat: each, symbolic",
        lambda x, n: T.repeat(x, n, axis=1),
        lambda x, n: np.repeat(x, n, 1),
        X,
        numbers(1, 0, 3, 2),
    ),
    moves(
        "repeat: each, flat",
        T.repeat,
        np.repeat,
        Arg((2, 2)),
        numbers(2, 1, 0, 3),
    ),
    moves("repeat: each of none", lambda x: T.repeat(x, [], axis=1), lambda x: x, Arg((3, 0))),
    moves("repeat: 0-d", lambda x: T.repeat(x, 3), lambda x: np.repeat(x, 3), SCALAR),
]

ROLL = [
    moves("roll", lambda x: T.roll(x, 2), lambda x: np.roll(x, 2), empty=EMPTY),
    moves("roll: axis", lambda x: T.roll(x, -1, axis=1), lambda x: np.roll(x, -1, 1), empty=EMPTY),
    moves("roll: far", lambda x: T.roll(x, 11, axis=0), lambda x: np.roll(x, 11, 0)),
    moves("roll: two axes", lambda x: T.roll(x, (1, 2), (0, 1)), lambda x: np.roll(x, (1, 2), (0, 1))),
    moves("roll: symbolic", lambda x, n: T.roll(x, n, 1), lambda x, n: np.roll(x, int(n), 1), X, number(-3)),
    moves("flip", T.flip, np.flip, CUBE),
    moves("flip: axis", lambda x: T.flip(x, -1), lambda x: np.flip(x, -1), empty=EMPTY),
    moves("flip: axes", lambda x: T.flip(x, (0, 2)), lambda x: np.flip(x, (0, 2)), CUBE),
]

CASES: list[Case] = [*RESHAPE, *AXES, *KNOWN, *JOIN, *REPEAT, *ROLL]

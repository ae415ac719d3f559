"""The steps that random programs are made of: each draws operands that fit and adds a line, or adds nothing."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from tinygraph.testing.draft import DTYPES, Draft, Value

__all__ = ["KINDS", "WEIGHTS", "cost"]

#: In the order in which failures shrink: what is simple comes first.
KINDS: dict[str, Callable[[Draft], object]] = {}
#: How often some kinds are drawn; the others are drawn once.
WEIGHTS = {"unary": 4, "binary": 4, "reduce": 3, "row": 2, "product": 2, "slice": 2}


def _kind(function: Callable[[Draft], object]) -> Callable[[Draft], object]:
    KINDS[function.__name__.strip("_")] = function
    return function


def _one(draft: Draft, *choices: str) -> str:
    chosen: str = draft.draw(st.sampled_from(choices))
    return chosen


def _broadcasts(a: Value, b: Value) -> bool:
    pairs = zip(reversed(a.shape), reversed(b.shape), strict=False)
    return all(n == m or 1 in (n, m) for one, other in pairs for n, m in zip(one, other, strict=True))


def _nonempty(a: Value) -> bool:
    return all(n and m for n, m in a.shape)


# --- elementwise ------------------------------------------------------------------------------------------------------

UNARY = (
    *("-{}", "abs({})", "T.sqr({})", "{} * 0.5", "1 - {}", "{} + 1", "T.tanh({})", "T.nnet.sigmoid({})", "T.exp({})"),
    *("T.nnet.relu({})", "T.log(abs({}) + 0.5)", "T.sqrt(abs({}))", "T.exp(-T.sqr({}))", "{} / 3", "2 / {}", "{} ** 3"),
    *("T.sin({})", "T.cos({})", "T.erf({})", "T.nnet.softplus({})", "T.log({})", "T.log1p({})", "T.expm1({})"),
    *("T.log(1 + T.exp({}))", "T.log(T.nnet.sigmoid({}))", "1 / (1 + T.exp(-{}))", "{} * 1", "0 + {}", "T.sgn({})"),
    *("T.clip({}, -1, 1)", "T.maximum({}, 0)", "T.arctan({})", "T.ceil({})", "T.floor({})", "abs({}) ** 1.5"),
    *("T.nnet.elu({})", "T.nnet.hard_sigmoid({})", "T.log(1 - T.nnet.sigmoid({}))", "T.square({}) - 1"),
)
BINARY = ("{} + {}", "{} * {}", "{} - {}", "T.maximum({}, {})", "T.minimum({}, {})", "{} / {}", "{} / (1 + abs({}))")
BINARY_DISCRETE = ("{} // {}", "{} % {}", "T.and_({}, {})", "T.or_({}, {})", "T.xor({}, {})")


@_kind
def _unary(draft: Draft) -> object:
    a = draft.some(lambda v: v.number)
    return a and draft.step(_one(draft, *UNARY).format(a.name, a.name))


@_kind
def _binary(draft: Draft) -> object:
    a = draft.some()
    b = draft.some(lambda v: a is not None and _broadcasts(a, v))
    if a is None or b is None:
        return None
    discrete = not a.float and not b.float
    return draft.step(_one(draft, *BINARY, *(BINARY_DISCRETE if discrete else ())).format(a.name, b.name))


@_kind
def _compare(draft: Draft) -> object:
    a = draft.some(lambda v: v.number)
    if a is None:
        return None
    # Numbers that no short computation meets; against other values, ties are found when programs are checked.
    test = _one(draft, "{} > 0.30078", "T.le({}, -0.70117)", "T.isnan({})", "T.eq({}, 2)", "{} < {}", "T.neq({}, {})")
    if test.count("{}") == 2:
        b = draft.some(lambda v: v.number and _broadcasts(a, v))
        return b and draft.step(test.format(a.name, b.name))
    return draft.step(test.format(a.name))


@_kind
def _switch(draft: Draft) -> object:
    a = draft.some(lambda v: v.number)
    b = draft.some(lambda v: a is not None and _broadcasts(a, v))
    c = draft.some(lambda v: a is not None and b is not None and _broadcasts(a, v) and _broadcasts(b, v))
    if a is None or b is None or c is None:
        return None
    c_text = _one(draft, c.name, "0", "0.5")
    test = c.name if c.dtype == "bool" else f"{a.name} > 0.30078"
    return draft.step(f"T.switch({test}, {b.name}, {c_text})")


@_kind
def _cast(draft: Draft) -> object:
    a = draft.some()
    dtype = _one(draft, *DTYPES)
    if a is None:
        return None
    if a.float and not dtype.startswith("float"):  # NaN and what is too large are no integers
        low = 0 if dtype == "uint8" else -100
        return draft.step(f'T.cast(T.clip(T.switch(T.isnan({a.name}), 0, {a.name}), {low}, 100), "{dtype}")')
    return draft.step(f'T.cast({a.name}, "{dtype}")')


# --- reductions -------------------------------------------------------------------------------------------------------


def _axis(draft: Draft, a: Value) -> object:
    choices: list[st.SearchStrategy[object]] = [st.none()]
    if a.ndim:
        choices.append(st.integers(-a.ndim, a.ndim - 1))
    if a.ndim > 1:
        pair = st.lists(st.integers(0, a.ndim - 1), min_size=2, max_size=2, unique=True)
        choices.append(pair.map(tuple))
    return draft.draw(st.one_of(choices))


@_kind
def _reduce(draft: Draft) -> object:
    a = draft.some()
    if a is None:
        return None
    kinds = ["sum", "max", "mean", "min", "prod", "any", "all", "argmax", "argmin", "var", "cumsum"]
    kind = _one(draft, *(kinds if a.number else ["any", "all", "sum", "mean"]))
    if kind in ("any", "all") and a.float:
        return None
    axis = _axis(draft, a)
    if kind == "cumsum":
        return draft.step(f"T.cumsum({a.name}, axis={axis})") if isinstance(axis, int) else None
    if kind.startswith("arg") and isinstance(axis, tuple):
        axis = axis[0]
    keep = ", keepdims=True" if draft.draw(st.booleans()) else ""
    return draft.step(f"T.{kind}({a.name}, axis={axis}{keep})")


ROWS = (
    *("T.nnet.softmax({0})", "T.nnet.logsoftmax({0})", "T.logsumexp({0}, axis=-1)", "T.log(T.nnet.softmax({0}))"),
    "T.exp({0} - T.max({0}, axis=-1, keepdims=True)) / T.sum(T.exp({0} - T.max({0}, axis=-1, keepdims=True)), axis=-1,"
    " keepdims=True)",
    "T.log(T.sum(T.exp({0}), axis=-1))",
    "({0} - T.mean({0}, axis=-1, keepdims=True)) / T.sqrt(T.var({0}, axis=-1, keepdims=True) + 0.01)",
    "({0} - T.mean({0}, axis=0)) / (T.std({0}, axis=0) + 0.25)",
    *("T.sqrt(T.sum(T.sqr({0}), axis=-1) + 1)", "T.max_and_argmax({0}, axis=-1)[0]", "T.sort({0}, axis=-1)"),
)


@_kind
def _row(draft: Draft) -> object:
    a = draft.some(lambda v: v.float and v.ndim)
    return a and draft.step(_one(draft, *ROWS).format(a.name))


# --- products ---------------------------------------------------------------------------------------------------------


@_kind
def _product(draft: Draft) -> object:
    a = draft.some(lambda v: v.float and v.ndim)
    if a is None:
        return None
    choices = []
    for b in draft.values:
        if b.dtype == a.dtype and b.ndim:
            rows = b.shape[0 if b.ndim == 1 else -2]
            if a.shape[-1] == rows:
                choices.append(
                    f"T.matmul({a.name}, {b.name})" if 3 in (a.ndim, b.ndim) else f"T.dot({a.name}, {b.name})"
                )
            if b.ndim == 2 and a.shape[-1] == b.shape[1]:
                choices.append(f"T.dot({a.name}, {b.name}.T)")
            if a.ndim == 2 and a.shape[0] == rows:
                choices.append(f"T.dot({a.name}.T, {b.name})")
            if a.ndim == b.ndim == 2 and a.shape[0] == b.shape[1]:
                choices.append(f"T.dot({a.name}.T, {b.name}.T)")
            if a.ndim == b.ndim == 3 and a.shape[0] == b.shape[0] and a.shape[-1] == b.shape[-2]:
                choices.append(f"T.batched_dot({a.name}, {b.name})")
            if a.ndim == b.ndim == 3 and a.shape[-1] == b.shape[-1]:
                choices.append(f"T.matmul({a.name}, {b.name}.dimshuffle(0, 2, 1))")
            if a.ndim == b.ndim == 1:
                choices.append(f"T.outer({a.name}, {b.name})")
    if not choices:  # a weight that fits
        fixed = a.shape[-1][0] == a.shape[-1][1]
        if not fixed or len(draft.states) > 3:
            return None
        b = draft.state(a.dtype, (a.shape[-1], *draft.shape(1, 0, fixed=True)))
        choices.append(f"T.dot({a.name}, {b.name})")
    return draft.step(_one(draft, *choices))


# --- layout -----------------------------------------------------------------------------------------------------------


@_kind
def _shuffle(draft: Draft) -> object:
    a = draft.some(lambda v: v.ndim <= 3)
    if a is None:
        return None
    order: list[object] = list(draft.draw(st.permutations(range(a.ndim))))
    ones = [axis for axis in range(a.ndim) if a.shape[axis] == (1, 1)]
    if ones and draft.draw(st.booleans()):
        order.remove(ones[0])
    if len(order) < 4 and draft.draw(st.booleans()):
        order.insert(draft.draw(st.integers(0, len(order))), "x")
    return draft.step(f"{a.name}.dimshuffle({', '.join(map(repr, order))})")


@_kind
def _reshape(draft: Draft) -> object:
    a = draft.some(lambda v: v.ndim)
    if a is None:
        return None
    choices = ["{0}.flatten()", "{0}.T"]
    if a.ndim > 1:
        choices += ["{0}.flatten(2)", "T.reshape({0}, (-1, {0}.shape[0]))", "{0}.reshape(({0}.shape[1], -1))"]
    if a.ndim > 2:
        choices.append("{0}.reshape(({0}.shape[0] * {0}.shape[1], {0}.shape[2]))")
    if a.shape[-1] in ((4, 4), (2, 2), (16, 16)) and a.ndim < 3:
        lead = "".join(f"{{0}}.shape[{i}], " for i in range(a.ndim - 1))
        choices.append(f"{{0}}.reshape(({lead}2, {a.shape[-1][0] // 2}))")
    return draft.step(_one(draft, *choices).format(a.name))


def _index(draft: Draft, a: Value) -> str:
    """A basic index as text."""
    parts = []
    for extent in a.shape:
        slices = [":", "::-1", "1:", ":-1", "::2", "::-2", "-2:", "1::3", ":2"]
        parts.append(_one(draft, *slices, *(["0", "-1"] if min(extent) else [])))
    while len(parts) > 1 and parts[-1] == ":":
        parts.pop()
    if len(parts) < 3 and draft.draw(st.sampled_from([False, False, True])):
        parts.insert(draft.draw(st.integers(0, len(parts))), "None")
    return ", ".join(parts)


@_kind
def _slice(draft: Draft) -> object:
    a = draft.some(lambda v: v.ndim)
    return a and draft.step(f"{a.name}[{_index(draft, a)}]")


def _picked(draft: Draft, a: Value) -> str | None:
    """An index by an array of integers, as text; None where an axis is empty."""
    whole = _one(draft, "rows", "pairs") if a.ndim > 1 else "rows"
    axis = 1 if whole == "pairs" else 0
    if not min(a.shape[axis]):
        return None
    shape = (a.shape[0],) if axis else draft.draw(st.sampled_from([(draft.extents[0],), ((3, 3),), ((2, 2), (2, 2))]))
    index = draft.input(_one(draft, "int64", "int32"), shape, below=a.shape[axis])
    return f"T.arange({a.name}.shape[0]), {index.name}" if axis else index.name


@_kind
def _gather(draft: Draft) -> object:
    a = draft.some(lambda v: v.ndim)
    index = None if a is None else _picked(draft, a)
    return a and index and draft.step(f"{a.name}[{index}]")


@_kind
def _write(draft: Draft) -> object:
    a = draft.some(lambda v: v.ndim)
    if a is None:
        return None
    index = _picked(draft, a) if draft.draw(st.booleans()) else _index(draft, a)
    if index is None or (a.dtype == "bool" and "None" in index):
        return None
    function = "set" if a.dtype == "bool" or draft.draw(st.booleans()) else "inc"
    if function == "set" and ", x" in index.replace("T.arange", ""):
        value = "2"
    else:
        # Repeated indices make the last of several values stay, or all be added; a scalar is one value.
        scalar = draft.draw(st.booleans()) or (function == "set" and index.startswith("x"))
        value = "2" if scalar else f"{a.name}[{index}] * 2"
    return draft.step(f"T.{function}_subtensor({a.name}[{index}], {'True' if a.dtype == 'bool' else value})")


@_kind
def _join(draft: Draft) -> object:
    a = draft.some(lambda v: v.ndim)
    if a is None:
        return None
    axis = draft.draw(st.integers(0, a.ndim - 1))

    def fits(b: Value) -> bool:
        return b.ndim == a.ndim and all(b.shape[i] == a.shape[i] for i in range(a.ndim) if i != axis)

    b = draft.some(fits)
    if b is None:
        return None
    if a.shape == b.shape and a.ndim < 3 and draft.draw(st.booleans()):
        return draft.step(f"T.stack([{a.name}, {b.name}], axis={axis})")
    return draft.step(f"T.concatenate([{a.name}, {b.name}], axis={axis})")


# --- randomness, loops, choices, gradients ----------------------------------------------------------------------------


@_kind
def _dropout(draft: Draft) -> object:
    a = draft.some(lambda v: v.float)
    if a is None:
        return None
    draws = (
        '{0} * srng.binomial(size={0}.shape, n=1, p=0.5, dtype="{1}")',
        'T.switch(srng.uniform(size={0}.shape, dtype="{1}") < 0.5, {0}, 0) / 0.5',
        '{0} + srng.normal(size={0}.shape, dtype="{1}")',
    )
    return draft.step(_one(draft, *draws).format(a.name, a.dtype))


LOOPS = (
    "tg.scan(lambda row, h: T.tanh(row + 0.5 * h), {0}, T.zeros_like({0}[0]))[0]",
    "tg.scan(lambda row: T.sqr(row).sum(), {0})[0]",
    "tg.scan(lambda row, h: 0.5 * h + row, {0}, T.zeros_like({0}[0]))[0][-1]",
    "tg.scan(lambda h: T.sin(h) + 1, outputs_info={0}, n_steps=3)[0]",
    "tg.scan(lambda row, h, c: [T.tanh(h + c), c * 0.5 + row], {0}, [T.zeros_like({0}[0]), T.ones_like({0}[0])])[0][0]",
    "tg.scan(lambda row, h: row - h, {0}, T.zeros_like({0}[0]), go_backwards=True)[0]",
    "tg.scan(lambda a, b: a * 0.5 + b, outputs_info=dict(initial={0}, taps=[-2, -1]), n_steps=4)[0]",
)


@_kind
def _loop(draft: Draft) -> object:
    a = draft.some(lambda v: v.float and v.ndim and min(v.shape[0]))
    if a is None:
        return None
    text = _one(draft, *LOOPS)
    if "taps" in text and min(a.shape[0]) < 2:
        return None
    return draft.step(text.format(a.name))


@_kind
def _recurrence(draft: Draft) -> object:
    a = draft.some(lambda v: v.float and v.ndim == 2 and v.shape[1][0] == v.shape[1][1] and min(v.shape[0]))
    if a is None or len(draft.states) > 3:
        return None
    weights = draft.state(a.dtype, (a.shape[1], a.shape[1]))
    text = "tg.scan(lambda row, h, w: T.tanh(row + T.dot(h, w)), {0}, T.zeros_like({0}[0]), {1})[0]"
    return draft.step(text.format(a.name, weights.name))


@_kind
def _choice(draft: Draft) -> object:
    a = draft.some(lambda v: v.float)
    b = draft.some(lambda v: a is not None and v.dtype == a.dtype and v.ndim == a.ndim)
    if a is None or b is None:
        return None
    return draft.step(f"tg.ifelse.ifelse(T.sum({a.name}) > 0.30078, {a.name}, {b.name})")


def cost(draft: Draft, a: Value) -> str:
    """An expression of one number that depends on every entry."""
    text = _one(draft, "T.sum({0})", "T.sum(T.sqr({0}))", "T.mean({0})", "T.sum(0.5 * T.tanh({0}))")
    if "mean" in text and not _nonempty(a):
        text = "T.sum({0})"
    return text.format(a.name)


@_kind
def _gradient(draft: Draft) -> object:
    a = draft.some(lambda v: v.float and v.name not in draft.leaves)
    b = draft.some(lambda v: v.float and v.name in draft.leaves)
    if a is None or b is None:
        return None
    return draft.step(f'tg.grad({cost(draft, a)}, {b.name}, disconnected_inputs="ignore")')

"""Elementwise operations in lanes: what each row of the table is in LLVM's instructions.

Results are those of NumPy, special values included; the accuracy of functions is stated in ``vecmath``.
"""

from __future__ import annotations

from collections.abc import Callable

from tinygraph.backends.native.emit import ELEMENT, Lanes
from tinygraph.backends.native.quantiles import normal_quantile
from tinygraph.backends.native.vecmath import FUNCTIONS

__all__ = ["cast", "combine", "identity", "is_known", "row"]

#: (writer, dtype of the operands, operands) -> result
Rule = Callable[..., str]

_FLOATS = ("float32", "float64")


def _is_float(dtype: str) -> bool:
    return dtype in _FLOATS


def _is_signed(dtype: str) -> bool:
    return dtype[0] == "i"


def _compare(ordered: str, signed: str, unsigned: str) -> Rule:
    def rule(e: Lanes, dtype: str, a: str, b: str) -> str:
        kind = ELEMENT[dtype]
        if _is_float(dtype):
            return e.fcmp(ordered, kind, a, b)
        return e.icmp(signed if _is_signed(dtype) else unsigned, kind, a, b)

    return rule


def _arithmetic(floats: str, integers: str, bools: str = "") -> Rule:
    def rule(e: Lanes, dtype: str, a: str, b: str) -> str:
        code = floats if _is_float(dtype) else bools if dtype == "bool" else integers
        return e.op(code, ELEMENT[dtype], a, b)

    return rule


def _bitwise(code: str) -> Rule:
    return lambda e, dtype, a, b: e.op(code, ELEMENT[dtype], a, b)


def _zero(e: Lanes, dtype: str) -> str:
    return e.constant(ELEMENT[dtype], 0)


def _one(e: Lanes, dtype: str) -> str:
    return e.constant(ELEMENT[dtype], 1)


def _isnan(e: Lanes, dtype: str, a: str) -> str:
    return e.fcmp("uno", ELEMENT[dtype], a, a) if _is_float(dtype) else e.constant("i1", False)


def _isinf(e: Lanes, dtype: str, a: str) -> str:
    if not _is_float(dtype):
        return e.constant("i1", False)
    kind = ELEMENT[dtype]
    return e.fcmp("oeq", kind, e.intrinsic("fabs", kind, a), e.constant(kind, float("inf")))


def _isfinite(e: Lanes, dtype: str, a: str) -> str:
    if not _is_float(dtype):
        return e.constant("i1", True)
    kind = ELEMENT[dtype]
    return e.fcmp("olt", kind, e.intrinsic("fabs", kind, a), e.constant(kind, float("inf")))


def _invert(e: Lanes, dtype: str, a: str) -> str:
    return e.op("xor", ELEMENT[dtype], a, e.constant(ELEMENT[dtype], True if dtype == "bool" else -1))


def _neg(e: Lanes, dtype: str, a: str) -> str:
    return e.fneg(ELEMENT[dtype], a) if _is_float(dtype) else e.op("sub", ELEMENT[dtype], _zero(e, dtype), a)


def _abs(e: Lanes, dtype: str, a: str) -> str:
    if _is_float(dtype):
        return e.intrinsic("fabs", ELEMENT[dtype], a)
    if not _is_signed(dtype):
        return a
    return e.select(ELEMENT[dtype], _compare_lt(e, dtype, a, _zero(e, dtype)), _neg(e, dtype, a), a)


_compare_lt = _compare("olt", "slt", "ult")
_compare_gt = _compare("ogt", "sgt", "ugt")
_compare_ge = _compare("oge", "sge", "uge")
_compare_le = _compare("ole", "sle", "ule")


def _sgn(e: Lanes, dtype: str, a: str) -> str:
    kind, zero = ELEMENT[dtype], _zero(e, dtype)
    positive = _compare_gt(e, dtype, a, zero)
    rest = zero
    if _is_float(dtype):
        rest = e.select(kind, e.fcmp("uno", kind, a, a), a, zero)
    if dtype[0] != "u":
        rest = e.select(kind, _compare_lt(e, dtype, a, zero), e.constant(kind, -1), rest)
    return e.select(kind, positive, _one(e, dtype), rest)


def _sqr(e: Lanes, dtype: str, a: str) -> str:
    return e.op("fmul" if _is_float(dtype) else "mul", ELEMENT[dtype], a, a)


def _inv(e: Lanes, dtype: str, a: str) -> str:
    return e.op("fdiv", ELEMENT[dtype], _one(e, dtype), a)


def _larger(e: Lanes, dtype: str, a: str, b: str) -> str:
    """The larger one, or NaN where one is."""
    kind = ELEMENT[dtype]
    if dtype == "bool":
        return e.op("or", kind, a, b)
    first = _compare_gt(e, dtype, a, b)  # of zeros the second one, as in NumPy
    if _is_float(dtype):
        first = e.op("or", "i1", first, e.fcmp("uno", kind, a, a))
    return e.select(kind, first, a, b)


def _smaller(e: Lanes, dtype: str, a: str, b: str) -> str:
    kind = ELEMENT[dtype]
    if dtype == "bool":
        return e.op("and", kind, a, b)
    first = _compare_lt(e, dtype, a, b)
    if _is_float(dtype):
        first = e.op("or", "i1", first, e.fcmp("uno", kind, a, a))
    return e.select(kind, first, a, b)


def _clip(e: Lanes, dtype: str, a: str, low: str, high: str) -> str:
    kind = ELEMENT[dtype]
    upper = e.select(kind, _compare_gt(e, dtype, a, high), high, a)
    return e.select(kind, _compare_lt(e, dtype, a, low), low, upper)


def _relu(e: Lanes, dtype: str, a: str) -> str:
    return _larger(e, dtype, a, _zero(e, dtype))


def _leaky_relu(e: Lanes, dtype: str, a: str, alpha: str) -> str:
    kind = ELEMENT[dtype]
    scaled = e.op("fmul" if _is_float(dtype) else "mul", kind, alpha, a)
    return e.select(kind, _compare_gt(e, dtype, a, _zero(e, dtype)), a, scaled)


def _rounded(name: str) -> Rule:
    return lambda e, dtype, a: e.intrinsic(name, ELEMENT[dtype], a)


def _round_away(e: Lanes, dtype: str, a: str) -> str:
    kind = ELEMENT[dtype]
    whole = e.intrinsic("trunc", kind, a)
    rest = e.intrinsic("fabs", kind, e.op("fsub", kind, a, whole))
    one = e.select(kind, e.fcmp("oge", kind, rest, e.constant(kind, 0.5)), _one(e, dtype), _zero(e, dtype))
    return e.op("fadd", kind, whole, e.intrinsic("copysign", kind, one, a))


def _switch(e: Lanes, dtype: str, condition: str, a: str, b: str) -> str:
    return e.select(ELEMENT[dtype], condition, a, b)


def _safe_divisor(e: Lanes, dtype: str, a: str, b: str) -> tuple[str, str]:
    """A divisor that never traps, and where it stands for 0."""
    kind = ELEMENT[dtype]
    zero = e.icmp("eq", kind, b, _zero(e, dtype))
    divisor = e.select(kind, zero, _one(e, dtype), b)
    if _is_signed(dtype):
        bits = int(dtype[3:])
        least = e.icmp("eq", kind, a, e.constant(kind, -(1 << (bits - 1))))
        minus = e.icmp("eq", kind, b, e.constant(kind, -1))
        divisor = e.select(kind, e.op("and", "i1", least, minus), _one(e, dtype), divisor)
    return divisor, zero


def _int_div(e: Lanes, dtype: str, a: str, b: str) -> str:
    kind = ELEMENT[dtype]
    if _is_float(dtype):
        return _float_floor_divide(e, kind, a, b)
    divisor, zero = _safe_divisor(e, dtype, a, b)
    signed = _is_signed(dtype)
    quotient = e.op("sdiv" if signed else "udiv", kind, a, divisor)
    if signed:
        rest = e.op("sub", kind, a, e.op("mul", kind, quotient, divisor))
        unlike = e.icmp("slt", kind, e.op("xor", kind, rest, divisor), _zero(e, dtype))
        wrong = e.op("and", "i1", unlike, e.icmp("ne", kind, rest, _zero(e, dtype)))
        quotient = e.select(kind, wrong, e.op("sub", kind, quotient, _one(e, dtype)), quotient)
    return e.select(kind, zero, _zero(e, dtype), quotient)


def _mod(e: Lanes, dtype: str, a: str, b: str) -> str:
    kind = ELEMENT[dtype]
    if _is_float(dtype):
        return _float_remainder(e, kind, a, b)
    divisor, zero = _safe_divisor(e, dtype, a, b)
    signed = _is_signed(dtype)
    quotient = e.op("sdiv" if signed else "udiv", kind, a, divisor)
    rest = e.op("sub", kind, a, e.op("mul", kind, quotient, divisor))
    if signed:
        minus = e.icmp("eq", kind, b, e.constant(kind, -1))
        rest = e.select(kind, minus, _zero(e, dtype), rest)
        unlike = e.icmp("slt", kind, e.op("xor", kind, rest, divisor), _zero(e, dtype))
        wrong = e.op("and", "i1", unlike, e.icmp("ne", kind, rest, _zero(e, dtype)))
        rest = e.select(kind, wrong, e.op("add", kind, rest, divisor), rest)
    return e.select(kind, zero, _zero(e, dtype), rest)


def _float_remainder(e: Lanes, kind: str, a: str, b: str) -> str:
    """The remainder with the sign of ``b``, from that with the sign of ``a``."""
    zero = e.constant(kind, 0.0)
    rest = e.call("fmodf" if kind == "float" else "fmod", kind, a, b)
    none = e.fcmp("oeq", kind, rest, zero)
    unlike = e.op("xor", "i1", e.fcmp("olt", kind, b, zero), e.fcmp("olt", kind, rest, zero))
    moved = e.select(kind, unlike, e.op("fadd", kind, rest, b), rest)
    return e.select(kind, none, e.intrinsic("copysign", kind, zero, b), moved)


def _float_floor_divide(e: Lanes, kind: str, a: str, b: str) -> str:
    zero, one = e.constant(kind, 0.0), e.constant(kind, 1.0)
    rest = e.call("fmodf" if kind == "float" else "fmod", kind, a, b)
    quotient = e.op("fdiv", kind, e.op("fsub", kind, a, rest), b)
    some = e.fcmp("une", kind, rest, zero)
    unlike = e.op("xor", "i1", e.fcmp("olt", kind, b, zero), e.fcmp("olt", kind, rest, zero))
    quotient = e.select(kind, e.op("and", "i1", some, unlike), e.op("fsub", kind, quotient, one), quotient)
    whole = e.intrinsic("floor", kind, quotient)
    over = e.fcmp("ogt", kind, e.op("fsub", kind, quotient, whole), e.constant(kind, 0.5))
    whole = e.select(kind, over, e.op("fadd", kind, whole, one), whole)
    plain = e.op("fdiv", kind, a, b)
    whole = e.select(kind, e.fcmp("une", kind, quotient, zero), whole, e.intrinsic("copysign", kind, zero, plain))
    return e.select(kind, e.fcmp("oeq", kind, b, zero), plain, whole)


_RULES: dict[str, Rule] = {
    "eq": _compare("oeq", "eq", "eq"),
    "neq": _compare("une", "ne", "ne"),
    "lt": _compare_lt,
    "le": _compare_le,
    "gt": _compare_gt,
    "ge": _compare_ge,
    "isnan": _isnan,
    "isinf": _isinf,
    "isfinite": _isfinite,
    "and_": _bitwise("and"),
    "or_": _bitwise("or"),
    "xor": _bitwise("xor"),
    "invert": _invert,
    "add": _arithmetic("fadd", "add", "or"),
    "sub": _arithmetic("fsub", "sub"),
    "mul": _arithmetic("fmul", "mul", "and"),
    "true_div": _arithmetic("fdiv", ""),
    "int_div": _int_div,
    "mod": _mod,
    "neg": _neg,
    "sgn": _sgn,
    "abs": _abs,
    "sqr": _sqr,
    "inv": _inv,
    "floor": _rounded("floor"),
    "ceil": _rounded("ceil"),
    "trunc": _rounded("trunc"),
    "round_half_to_even": _rounded("rint"),
    "round_half_away_from_zero": _round_away,
    "switch": _switch,
    "maximum": _larger,
    "minimum": _smaller,
    "clip": _clip,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "sqrt": _rounded("sqrt"),
    "normal_quantile": normal_quantile,
}


def is_known(name: str, dtype: str) -> bool:
    """Whether an elementwise operation on operands of a dtype can be written in lanes."""
    if name in FUNCTIONS:
        return _is_float(dtype)
    return name in _RULES and dtype in ELEMENT


def row(e: Lanes, name: str, dtype: str, *operands: str) -> str:
    """An elementwise operation on operands of a dtype, that of the last one."""
    if name in FUNCTIONS:
        return FUNCTIONS[name](e, ELEMENT[dtype], *operands)
    return _RULES[name](e, dtype, *operands)


def cast(e: Lanes, source: str, target: str, a: str) -> str:
    """A value in another dtype; floats are truncated to integers, and any number but 0 is True."""
    old, new = ELEMENT[source], ELEMENT[target]
    if source == target:
        return a
    if target == "bool":
        if _is_float(source):
            return e.fcmp("une", old, a, e.constant(old, 0.0))
        return e.icmp("ne", old, a, e.constant(old, 0))
    if _is_float(source) and _is_float(target):
        return e.cast("fpext" if target == "float64" else "fptrunc", old, new, a)
    if _is_float(target):
        return e.cast("sitofp" if _is_signed(source) else "uitofp", old, new, a)
    if _is_float(source):
        return _truncated(e, old, target, a)
    before, after = _bits(source), _bits(target)
    if before == after:
        return a
    if after < before:
        return e.cast("trunc", old, new, a)
    return e.cast("sext" if _is_signed(source) else "zext", old, new, a)


def _truncated(e: Lanes, kind: str, target: str, a: str) -> str:
    """A float without its fraction as an integer; what lies outside is whatever the processor makes of it."""
    new = ELEMENT[target]
    if target == "uint64":
        return e.put(f"freeze {e.type(new)} {e.cast('fptoui', kind, new, a)}")
    wide = "i64" if target in ("int64", "uint32") else "i32"
    whole = e.put(f"freeze {e.type(wide)} {e.cast('fptosi', kind, wide, a)}")
    return whole if wide == new else e.cast("trunc", wide, new, whole)


def _bits(dtype: str) -> int:
    return 1 if dtype == "bool" else int(dtype.lstrip("uint"))


def identity(kind: str, dtype: str) -> float | int | bool:
    """What leaves any value as it is when it is combined with it."""
    if kind == "sum":
        return False if dtype == "bool" else 0
    if kind == "prod":
        return True if dtype == "bool" else 1
    if kind in ("any", "all"):
        return kind == "all"
    if dtype == "bool":
        return kind == "min"
    if _is_float(dtype):
        return float("-inf") if kind == "max" else float("inf")
    bits = _bits(dtype)
    if _is_signed(dtype):
        return -(1 << (bits - 1)) if kind == "max" else (1 << (bits - 1)) - 1
    return 0 if kind == "max" else (1 << bits) - 1


def combine(e: Lanes, kind: str, dtype: str, a: str, b: str) -> str:
    """Two partial results of a reduction as one."""
    name = {"sum": "add", "prod": "mul", "max": "maximum", "min": "minimum", "any": "or_", "all": "and_"}[kind]
    return _RULES[name](e, dtype, a, b)

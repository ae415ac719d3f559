"""Elementwise operations in CUDA C: what each row of the table is as an expression.

Results are those of NumPy, special values included. Functions are those of CUDA's math library, without fast-math: at
most 2 units in the last place for ``exp``, ``log``, ``tanh`` and their like, 4 for ``pow`` in float32 (CUDA C++
Programming Guide, mathematical functions). Contraction into multiply-adds is off, as NumPy rounds after each operation:
``x * x - y * y`` is 0 for equal operands.

A float16 number is 16 bits in memory and a float in a kernel. As in NumPy, each operation is that of float32, rounded
once: for sums, products, quotients and roots this is what float16 arithmetic gives (float32 has more than twice its
digits).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence

import numpy as np

from tinygraph.ops.philox import BUMPS, FACTORS, PRECISION, ROUNDS

__all__ = [
    "PRELUDE",
    "TYPE",
    "accumulated",
    "body",
    "cast",
    "combine",
    "constant",
    "drawn",
    "identity",
    "is_known",
    "loaded",
    "memory",
    "row",
    "stored",
]

#: What a value of a dtype is in a kernel; a float16 number is a float there.
TYPE = {
    "bool": "bool",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "unsigned long long",
    "float16": "float",
    "float32": "float",
    "float64": "double",
}

#: (dtype of the operands, operands) -> expression
Rule = Callable[..., str]

#: What expressions use, before any kernel. All of it is written here: no header is included.
PRELUDE = r"""
#ifndef TG_ALIGNED
#define TG_ALIGNED(place, size) (place)
#endif
struct tg_words { const long long *at; };
template <class T> __device__ __forceinline__ T tg_larger(T a, T b) { return a > b || a != a ? a : b; }
template <class T> __device__ __forceinline__ T tg_smaller(T a, T b) { return a < b || a != a ? a : b; }
template <class T> __device__ __forceinline__ T tg_sign(T a) {
  return a > T(0) ? T(1) : a < T(0) ? T(-1) : a == T(0) ? T(0) : a;
}
template <class T> __device__ __forceinline__ T tg_clip(T a, T low, T high) {
  return a < low ? low : a > high ? high : a;
}
template <class T, class U> __device__ __forceinline__ T tg_floor_divide(T a, T b) {
  if (b == T(0)) return T(0);
  if (T(-1) < T(0) && b == T(-1)) return T(U(0) - U(a));
  const T q = a / b, r = a % b;
  return r != T(0) && (r < T(0)) != (b < T(0)) ? q - T(1) : q;
}
template <class T> __device__ __forceinline__ T tg_modulo(T a, T b) {
  if (b == T(0) || (T(-1) < T(0) && b == T(-1))) return T(0);
  const T r = a % b;
  return r != T(0) && (r < T(0)) != (b < T(0)) ? r + b : r;
}
__device__ __forceinline__ float tg_fmod(float a, float b) { return fmodf(a, b); }
__device__ __forceinline__ double tg_fmod(double a, double b) { return fmod(a, b); }
__device__ __forceinline__ float tg_floor(float a) { return floorf(a); }
__device__ __forceinline__ double tg_floor(double a) { return floor(a); }
__device__ __forceinline__ float tg_copysign(float a, float b) { return copysignf(a, b); }
__device__ __forceinline__ double tg_copysign(double a, double b) { return copysign(a, b); }
template <class T> __device__ __forceinline__ T tg_float_modulo(T a, T b) {
  const T r = tg_fmod(a, b);
  if (r == T(0)) return tg_copysign(T(0), b);
  return (b < T(0)) != (r < T(0)) ? r + b : r;
}
template <class T> __device__ __forceinline__ T tg_float_floor_divide(T a, T b) {
  if (b == T(0)) return a / b;
  const T r = tg_fmod(a, b);
  T q = (a - r) / b;
  if (r != T(0) && (b < T(0)) != (r < T(0))) q = q - T(1);
  if (q == T(0)) return tg_copysign(T(0), a / b);
  const T whole = tg_floor(q);
  return q - whole > T(0.5) ? whole + T(1) : whole;
}
__device__ __forceinline__ float tg_round_away(float a) {
  const float whole = truncf(a);
  return whole + copysignf(fabsf(a - whole) >= 0.5f ? 1.0f : 0.0f, a);
}
__device__ __forceinline__ double tg_round_away(double a) {
  const double whole = trunc(a);
  return whole + copysign(fabs(a - whole) >= 0.5 ? 1.0 : 0.0, a);
}
__device__ __forceinline__ float tg_sigmoid(float a) {
  const float e = expf(-fabsf(a));
  return (a >= 0.0f ? 1.0f : e) / (1.0f + e);
}
__device__ __forceinline__ double tg_sigmoid(double a) {
  const double e = exp(-fabs(a));
  return (a >= 0.0 ? 1.0 : e) / (1.0 + e);
}
__device__ __forceinline__ float tg_softplus(float a) { return tg_larger(a, 0.0f) + log1pf(expf(-fabsf(a))); }
__device__ __forceinline__ double tg_softplus(double a) { return tg_larger(a, 0.0) + log1p(exp(-fabs(a))); }
__device__ __forceinline__ float tg_xlogy(float a, float b) { return a == 0.0f && b == b ? 0.0f : a * logf(b); }
__device__ __forceinline__ double tg_xlogy(double a, double b) { return a == 0.0 && b == b ? 0.0 : a * log(b); }
template <class T, int N> struct alignas(sizeof(T) * N) tg_vector { T at[N]; };
template <class T> __device__ __forceinline__ T tg_down(T a, int by, int width) {
  return __shfl_down_sync(0xffffffffu, a, by, width);
}
template <class T> __device__ __forceinline__ T tg_first(T a, int width) {
  return __shfl_sync(0xffffffffu, a, 0, width);
}
__device__ __forceinline__ unsigned int tg_bits(float a) { return __float_as_uint(a); }
__device__ __forceinline__ unsigned long long tg_bits(double a) { return (unsigned long long)__double_as_longlong(a); }
__device__ __forceinline__ void tg_from_bits(float &a, unsigned int bits) { a = __uint_as_float(bits); }
__device__ __forceinline__ void tg_from_bits(double &a, unsigned long long bits) {
  a = __longlong_as_double((long long)bits);
}
"""

#: float16 numbers, which C has no type of: ``cuda_fp16.h`` is no part of NVRTC, and of no key under which code is kept.
PRELUDE += r"""
#ifndef TG_HALF
#define TG_HALF
__device__ __forceinline__ float tg_from_half(unsigned short bits) {
  float a;
  asm("cvt.f32.f16 %0, %1;" : "=f"(a) : "h"(bits));
  return a;
}
__device__ __forceinline__ unsigned short tg_to_half(float a) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(a));
  return bits;
}
__device__ __forceinline__ unsigned short tg_to_half(double a) {
  unsigned short bits;
  asm("cvt.rn.f16.f64 %0, %1;" : "=h"(bits) : "d"(a));
  return bits;
}
#endif
template <class T> __device__ __forceinline__ float tg_half(T a) { return tg_from_half(tg_to_half(a)); }
"""

#: Random words: the generator of ``tinygraph.ops.philox``, bit for bit.
PRELUDE += f"""
struct tg_block {{ unsigned int at[4]; }};
__device__ __forceinline__ tg_block tg_philox(
    unsigned long long block, unsigned long long key, unsigned long long call) {{
  unsigned int a = (unsigned int)block, b = (unsigned int)(block >> 32);
  unsigned int c = (unsigned int)call, d = (unsigned int)(call >> 32);
  unsigned int low = (unsigned int)key, high = (unsigned int)(key >> 32);
  #pragma unroll
  for (int i = 0; i < {ROUNDS}; ++i) {{
    const unsigned long long p = {FACTORS[0]}ull * a, q = {FACTORS[1]}ull * c;
    a = (unsigned int)(q >> 32) ^ b ^ low;
    b = (unsigned int)q;
    c = (unsigned int)(p >> 32) ^ d ^ high;
    d = (unsigned int)p;
    low += {BUMPS[0]}u;
    high += {BUMPS[1]}u;
  }}
  return {{{{a, b, c, d}}}};
}}
__device__ __forceinline__ unsigned int tg_word32(long long place, unsigned long long key, unsigned long long call) {{
  const tg_block words = tg_philox((unsigned long long)place >> 2, key, call);
  const int i = (int)(place & 3);
  return i < 2 ? (i == 0 ? words.at[0] : words.at[1]) : (i == 2 ? words.at[2] : words.at[3]);
}}
__device__ __forceinline__ unsigned long long tg_word64(
    long long place, unsigned long long key, unsigned long long call) {{
  const tg_block words = tg_philox((unsigned long long)place >> 1, key, call);
  const unsigned int high = place & 1 ? words.at[2] : words.at[0], low = place & 1 ? words.at[3] : words.at[1];
  return (unsigned long long)high << 32 | low;
}}
"""

#: Names in CUDA's math library for float64; those for float32 end with f.
_LIBRARY = {
    **{n: n for n in ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh", "cosh")},
    **{n: n for n in ("tanh", "hypot", "pow", "erf", "erfc")},
    **{f"arc{n}": f"a{n}" for n in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "tan2")},
    "gamma": "tgamma",
    "normal_quantile": "normcdfinv",
}
_WHOLE = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "round_half_to_even": "rint", "sqrt": "sqrt"}
_OWN = {"sigmoid": "tg_sigmoid", "softplus": "tg_softplus"}


def _is_float(dtype: str) -> bool:
    return dtype in ("float16", "float32", "float64")


def _is_signed(dtype: str) -> bool:
    return dtype[0] == "i"


def _bits(dtype: str) -> int:
    return 1 if dtype == "bool" else int(dtype.lstrip("uintfloa"))


def _unsigned(dtype: str) -> str:
    """An unsigned type in which integers of a dtype wrap around instead of overflowing, or being widened to int."""
    return "unsigned long long" if _bits(dtype) == 64 else "unsigned int"


def _function(name: str, dtype: str) -> str:
    return f"{name}f" if dtype == "float32" else name


def _infix(sign: str, bools: str = "") -> Rule:
    """An operation of C that wraps around in integers."""

    def rule(dtype: str, a: str, b: str) -> str:
        if _is_float(dtype):
            return f"{a} {sign} {b}"
        if dtype == "bool":
            return f"{a} {bools} {b}"
        wide = _unsigned(dtype)
        return f"({TYPE[dtype]})(({wide}){a} {sign} ({wide}){b})"

    return rule


def _compare(sign: str) -> Rule:
    return lambda dtype, a, b: f"{a} {sign} {b}"


def _bitwise(sign: str) -> Rule:
    return lambda dtype, a, b: f"({TYPE[dtype]})({a} {sign} {b})"


def _invert(dtype: str, a: str) -> str:
    return f"!{a}" if dtype == "bool" else f"({TYPE[dtype]})~{a}"


def _neg(dtype: str, a: str) -> str:
    return f"-{a}" if _is_float(dtype) else f"({TYPE[dtype]})(0 - ({_unsigned(dtype)}){a})"


def _abs(dtype: str, a: str) -> str:
    if _is_float(dtype):
        return f"{_function('fabs', dtype)}({a})"
    return f"({a} < 0 ? {_neg(dtype, a)} : {a})" if _is_signed(dtype) else a


def _sgn(dtype: str, a: str) -> str:
    return f"tg_sign({a})" if dtype[0] != "u" else f"({TYPE[dtype]})({a} != 0)"


def _isnan(dtype: str, a: str) -> str:
    return f"{a} != {a}" if _is_float(dtype) else "false"


def _isinf(dtype: str, a: str) -> str:
    return f"{_abs(dtype, a)} == {constant(dtype, math.inf)}" if _is_float(dtype) else "false"


def _isfinite(dtype: str, a: str) -> str:
    return f"{_abs(dtype, a)} < {constant(dtype, math.inf)}" if _is_float(dtype) else "true"


def _larger(dtype: str, a: str, b: str) -> str:
    return f"{a} || {b}" if dtype == "bool" else f"tg_larger({a}, {b})"


def _smaller(dtype: str, a: str, b: str) -> str:
    return f"{a} && {b}" if dtype == "bool" else f"tg_smaller({a}, {b})"


def _int_div(dtype: str, a: str, b: str) -> str:
    if _is_float(dtype):
        return f"tg_float_floor_divide({a}, {b})"
    return f"tg_floor_divide<{TYPE[dtype]}, {_unsigned(dtype)}>({a}, {b})"


def _mod(dtype: str, a: str, b: str) -> str:
    return f"tg_float_modulo({a}, {b})" if _is_float(dtype) else f"tg_modulo<{TYPE[dtype]}>({a}, {b})"


def _leaky_relu(dtype: str, a: str, alpha: str) -> str:
    return f"({a} > 0 ? {a} : {_infix('*')(dtype, alpha, a)})"


def _turned(factor: float) -> Rule:
    return lambda dtype, a: f"{a} * {constant(dtype, factor)}"


_RULES: dict[str, Rule] = {
    "eq": _compare("=="),
    "neq": _compare("!="),
    "lt": _compare("<"),
    "le": _compare("<="),
    "gt": _compare(">"),
    "ge": _compare(">="),
    "isnan": _isnan,
    "isinf": _isinf,
    "isfinite": _isfinite,
    "and_": _bitwise("&"),
    "or_": _bitwise("|"),
    "xor": _bitwise("^"),
    "invert": _invert,
    "add": _infix("+", "||"),
    "sub": _infix("-"),
    "mul": _infix("*", "&&"),
    "int_div": _int_div,
    "mod": _mod,
    "neg": _neg,
    "sgn": _sgn,
    "abs": _abs,
    "sqr": lambda dtype, a: _infix("*")(dtype, a, a),
    "switch": lambda dtype, condition, a, b: f"({condition} ? {a} : {b})",
    "maximum": _larger,
    "minimum": _smaller,
    "clip": lambda dtype, a, low, high: f"tg_clip({a}, {low}, {high})",
    "relu": lambda dtype, a: f"tg_larger({a}, {constant(dtype, 0)})",
    "leaky_relu": _leaky_relu,
}

#: Those that are defined for floats alone.
_FLOAT_RULES: dict[str, Rule] = {
    "true_div": lambda dtype, a, b: f"{a} / {b}",
    "inv": lambda dtype, a: f"{constant(dtype, 1)} / {a}",
    "round_half_away_from_zero": lambda dtype, a: f"tg_round_away({a})",
    "deg2rad": _turned(math.pi / 180),
    "rad2deg": _turned(180 / math.pi),
    "xlogx": lambda dtype, a: f"tg_xlogy({a}, {a})",
    "xlogy0": lambda dtype, a, b: f"tg_xlogy({a}, {b})",
}

#: Those whose results are float16 numbers, or bools, where their operands are.
_HALVES = frozenset(["eq", "neq", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "neg", "sgn", "abs", "switch"])
_HALVES |= frozenset(["maximum", "minimum", "clip", "relu", "floor", "ceil", "trunc"])
_HALVES |= frozenset(["round_half_to_even", "round_half_away_from_zero"])

_BITS = frozenset(["and_", "or_", "xor", "invert"])
_BOOLS = _BITS | frozenset(["eq", "neq", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite"])
_BOOLS |= {"add", "mul", "switch", "maximum", "minimum"}


def is_known(name: str, dtype: str) -> bool:
    """Whether an elementwise operation on operands of a dtype can be written in CUDA C."""
    if name in _LIBRARY or name in _WHOLE or name in _OWN or name in _FLOAT_RULES:
        return _is_float(dtype)
    if name not in _RULES or dtype not in TYPE:
        return False
    return name in _BOOLS if dtype == "bool" else not (_is_float(dtype) and name in _BITS)


def row(name: str, dtype: str, *operands: str) -> str:
    """An elementwise operation on operands of a dtype, that of the last one, as an expression of names."""
    if dtype == "float16":
        wide = row(name, "float32", *operands)
        return wide if name in _HALVES else f"tg_half({wide})"
    if name in _LIBRARY or name in _WHOLE:
        return f"{_function(_LIBRARY.get(name) or _WHOLE[name], dtype)}({', '.join(operands)})"
    if name in _OWN:
        return f"{_OWN[name]}({', '.join(operands)})"
    return (_RULES.get(name) or _FLOAT_RULES[name])(dtype, *operands)


def cast(source: str, target: str, a: str) -> str:
    """A value in another dtype; floats are truncated to integers, and any number but 0 is True."""
    if source == target:
        return a
    if target == "bool":
        return f"{a} != 0"
    if target == "float16":
        return f"tg_half({a if source == 'float64' else f'(float){a}'})"
    if _is_float(source) and not _is_float(target) and target != "uint64":
        # Beyond the target's range CUDA saturates and NumPy gives what its processor gives; within it all agree.
        wide = "long long" if target in ("int64", "uint32") else "int"
        return f"({TYPE[target]})({wide}){a}"
    return f"({TYPE[target]}){a}"


def constant(dtype: str, value: float | int | bool) -> str:
    """A number as CUDA C spells it, every bit of it."""
    if dtype == "bool":
        return "true" if value else "false"
    if dtype in ("float16", "float32"):
        single = np.float32(np.dtype(dtype).type(value))
        if not math.isfinite(single):
            return f"__uint_as_float(0x{struct.unpack('<I', struct.pack('<f', single))[0]:08x}u)"
        return f"{float(single).hex()}f" if single >= 0 and not np.signbit(single) else f"({float(single).hex()}f)"
    if dtype == "float64":
        if not math.isfinite(value):
            return f"__longlong_as_double(0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016x}ll)"
        return f"({float(value).hex()})"
    whole = int(value)
    if dtype == "uint64":
        return f"{whole}ull"
    if whole == -(1 << 63):
        return "(-9223372036854775807ll - 1ll)"
    return f"({TYPE[dtype]}){whole}ll" if whole >= 0 else f"({TYPE[dtype]})({whole}ll)"


def identity(kind: str, dtype: str) -> float | int | bool:
    """What leaves any value as it is when it is combined with it."""
    if kind in ("sum", "prod"):
        return kind == "prod" if dtype == "bool" else int(kind == "prod")
    if kind in ("any", "all"):
        return kind == "all"
    if dtype == "bool":
        return kind == "min"
    if _is_float(dtype):
        return -math.inf if kind == "max" else math.inf
    least, most = (
        (-(1 << (_bits(dtype) - 1)), (1 << (_bits(dtype) - 1)) - 1)
        if _is_signed(dtype)
        else (0, (1 << _bits(dtype)) - 1)
    )
    return least if kind == "max" else most


def combine(kind: str, dtype: str, a: str, b: str) -> str:
    """Two partial results of a reduction as one."""
    if kind in ("sum", "prod") and dtype == "bool":
        return f"{a} || {b}" if kind == "sum" else f"{a} && {b}"
    name = {"sum": "add", "prod": "mul", "max": "maximum", "min": "minimum", "any": "or_", "all": "and_"}[kind]
    return row(name, dtype, a, b)


def drawn(form: str, dtype: str, place: str, key: str, call: str) -> str:
    """A random number at a place in C order.

    ``form`` is ``uniform`` (floats as ``philox.uniforms`` makes them), or ``centred`` (float64 from words of 32 bits,
    the arguments of inverse distribution functions for float32 numbers).
    """
    bits = 64 if form == "uniform" and dtype == "float64" else 32
    word = f"tg_word{bits}({place}, {key}, {call})"
    if form == "uniform":
        kept = PRECISION[dtype]
        value = f"({TYPE[dtype]})({word} >> {bits - kept}) * {constant(dtype, 2.0**-kept)}"
        return f"tg_larger({value}, {constant(dtype, 2.0 ** -(kept + 1))})"
    return f"((double){word} + 0.5) * {constant(dtype, 2.0**-bits)}"


def body(name: str, lines: Sequence[str]) -> str:
    """What a block does, as a function: it is the ``block``-th of ``blocks``, and has its arguments in ``w.at``."""
    taken = "const tg_words w, const unsigned int block, const unsigned int blocks"
    return f"static __device__ __forceinline__ void {name}({taken}) {{\n" + "\n".join(lines) + "\n}\n"


def memory(dtype: str) -> str:
    """What an element of a dtype is in memory."""
    return {"bool": "unsigned char", "float16": "unsigned short"}.get(dtype) or TYPE[dtype]


def loaded(dtype: str, element: str) -> str:
    """The value of an element, given as it is in memory."""
    if dtype == "float16":
        return f"tg_from_half({element})"
    return f"{element} != 0" if dtype == "bool" else element


def stored(dtype: str, value: str) -> str:
    """A value as it is in memory."""
    return f"tg_to_half({value})" if dtype == "float16" else f"({memory(dtype)}){value}"


def accumulated(dtype: str) -> str:
    """What travels between the threads of a group: shuffles know words of 4 and 8 bytes."""
    if _is_float(dtype) or _bits(dtype) >= 32:
        return TYPE[dtype]
    return "int" if _is_signed(dtype) else "unsigned int"

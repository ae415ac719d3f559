"""Random words in lanes: the generator of ``tinygraph.ops.philox``, bit for bit.

One block of the generator is four words of 32 bits. Lanes that hold neighbouring numbers share blocks: as many blocks
as a vector of them needs are made side by side, and their words are put in order. Where the first lane is not the first
word of a block, words are taken out of twice as many. Any other lanes each make a block of their own.
"""

from __future__ import annotations

from collections.abc import Callable

from tinygraph.backends.native.emit import ELEMENT, Lanes
from tinygraph.ops.philox import BUMPS, FACTORS, PRECISION, ROUNDS

__all__ = ["constants", "drawn"]

_MASK = 0xFFFFFFFF


def constants(e: Lanes, form: str, dtype: str, key: str, call: str, neighbours: bool) -> list[str]:
    """What does not depend on the place, as ``drawn`` takes it: of the first round, and the keys of the others.

    Parameters
    ----------
    e, form, dtype, neighbours
        As for ``drawn``.
    key, call
        The two numbers of a state, ``i64`` scalars.
    """
    s = e.at(1)
    low, high = s.op("and", "i64", key, str(_MASK)), s.op("lshr", "i64", key, "32")
    product = s.op("mul", "i64", s.op("and", "i64", call, str(_MASK)), str(FACTORS[1]))
    out = [
        s.op("xor", "i64", s.op("lshr", "i64", product, "32"), low),
        s.op("xor", "i64", s.op("lshr", "i64", call, "32"), high),
        product,
    ]
    for i in range(1, ROUNDS):
        out += [s.op("add", "i64", word, str(i * bump & _MASK)) for word, bump in zip((low, high), BUMPS, strict=True)]
    writer = _blocks(e, form, dtype, neighbours)
    return [writer.splat("i64", x) for x in out]


def drawn(
    e: Lanes, form: str, dtype: str, place: str, fixed: list[str], neighbours: bool, room: Callable[[str], str]
) -> str:
    """The numbers at these places.

    Parameters
    ----------
    e
        A writer of lanes.
    form
        ``uniform`` (floats as ``philox.uniforms`` makes them), or ``centred`` (float64 from words of 32 bits, the
        arguments of inverse distribution functions for float32 numbers).
    dtype
        Of the result.
    place
        Places in C order, ``i64`` lanes.
    fixed
        ``constants``.
    neighbours
        Whether the places follow one another from lane to lane.
    room
        Makes memory on the stack for a value of a type.
    """
    bits = _bits(form, dtype)
    kind = f"i{bits}"
    blocks = _blocks(e, form, dtype, neighbours)
    if blocks.width < e.width:
        words = _shared(e, blocks, bits, place, fixed, room(f"[2 x {e.type(kind)}]"))
    else:
        words = _own(e, bits, place, fixed)
    if form == "uniform":
        kept, floats = PRECISION[dtype], ELEMENT[dtype]
        whole = e.op("lshr", kind, words, e.constant(kind, bits - kept))
        value = e.cast("sitofp" if bits == 32 else "uitofp", kind, floats, whole)
        value = e.op("fmul", floats, value, e.constant(floats, 2.0**-kept))
        least = e.constant(floats, 2.0 ** -(kept + 1))
        return e.select(floats, e.fcmp("ogt", floats, value, least), value, least)
    value = e.op("fadd", "double", e.cast("uitofp", kind, "double", words), e.constant("double", 0.5))
    return e.op("fmul", "double", value, e.constant("double", 2.0**-bits))


def _bits(form: str, dtype: str) -> int:
    """Bits of the words that numbers are made of."""
    return 32 if form == "centred" or dtype == "float32" else 64


def _blocks(e: Lanes, form: str, dtype: str, neighbours: bool) -> Lanes:
    """A writer on as many lanes as there are blocks."""
    count = e.width * _bits(form, dtype) // 128
    return e.at(count) if neighbours and count > 1 else e


def _rounds(e: Lanes, block: str, fixed: list[str]) -> tuple[str, str, str, str]:
    """The four words of blocks as ``i64``, whose upper halves mean nothing.

    A product of 32-bit numbers takes the lower halves of its operands alone, so nothing else needs to be cleared.
    """
    mask, half = e.constant("i64", _MASK), e.constant("i64", 32)

    def times(x: str, factor: int) -> str:
        return e.op("mul", "i64", e.op("and", "i64", x, mask), e.constant("i64", factor))

    first, second, product, *keys = fixed
    other = times(block, FACTORS[0])
    even = [
        e.op("xor", "i64", e.op("lshr", "i64", block, half), first),
        e.op("xor", "i64", e.op("lshr", "i64", other, half), second),
    ]
    odd = [product, other]
    for i in range(0, len(keys), 2):
        products = [times(even[1], FACTORS[1]), times(even[0], FACTORS[0])]
        mixed = [e.op("xor", "i64", x, key) for x, key in zip(odd, keys[i : i + 2], strict=True)]
        even = [e.op("xor", "i64", e.op("lshr", "i64", p, half), x) for p, x in zip(products, mixed, strict=True)]
        odd = products
    return even[0], odd[0], even[1], odd[1]


def _pair(e: Lanes, bits: int, first: str, second: str) -> str:
    """Two neighbouring words in 64 bits: words of 32 bits one behind the other, a word of 64 bits by its halves."""
    low, high = (first, second) if bits == 32 else (second, first)
    low = e.op("and", "i64", low, e.constant("i64", _MASK))
    return e.op("or", "i64", low, e.op("shl", "i64", high, e.constant("i64", 32)))


def _own(e: Lanes, bits: int, place: str, fixed: list[str]) -> str:
    """The word at each lane's place, from a block of its own."""
    shift = 2 if bits == 32 else 1
    block = e.op("lshr", "i64", place, e.constant("i64", shift))
    w = _rounds(e, block, fixed)
    pairs = [_pair(e, 64, w[0], w[1]), _pair(e, 64, w[2], w[3])]
    bit = e.op("and", "i64", place, e.constant("i64", 1 << (shift - 1)))
    pair = e.select("i64", e.icmp("eq", "i64", bit, e.constant("i64", 0)), *pairs)
    if bits == 64:
        return pair
    odd = e.op("and", "i64", place, e.constant("i64", 1))
    upper = e.op("lshr", "i64", pair, e.constant("i64", 32))
    return e.cast("trunc", "i64", "i32", e.select("i64", e.icmp("eq", "i64", odd, e.constant("i64", 0)), upper, pair))


def _shared(e: Lanes, wide: Lanes, bits: int, place: str, fixed: list[str], room: str) -> str:
    """Words at places that follow one another, from as many blocks as hold them."""
    each, kind, scalar = 128 // bits, f"i{bits}", e.at(1)
    first = e.put(f"extractelement {e.type('i64')} {place}, i64 0")
    block = scalar.op("lshr", "i64", first, str(each.bit_length() - 1))
    start = scalar.op("and", "i64", first, str(each - 1))
    steps = ", ".join(f"i64 {i}" for i in range(wide.width))
    before, blocks, more, again, shifted, done = (
        f"{name}{e.name()[2:]}" for name in ("before", "blocks", "more", "again", "shifted", "drawn")
    )
    e.lines += [f"  br label %{before}", f"{before}:", f"  br label %{blocks}", f"{blocks}:"]
    number, at, after = e.name(), e.name(), e.name()
    e.lines += [
        f"  {number} = phi i64 [ 0, %{before} ], [ 1, %{again} ]",
        f"  {at} = phi i64 [ {block}, %{before} ], [ {after}, %{again} ]",
    ]
    w = _rounds(wide, wide.op("add", "i64", wide.splat("i64", at), f"<{steps}>"), fixed)
    words = _in_order(e, wide, bits, _pair(wide, bits, w[0], w[1]), _pair(wide, bits, w[2], w[3]))
    aligned = scalar.icmp("eq", "i64", start, "0")
    e.lines += [f"  br i1 {aligned}, label %{done}, label %{more}", f"{more}:"]
    slot = e.put(f"getelementptr {e.type(kind)}, ptr {room}, i64 {number}")
    e.lines.append(f"  store {e.type(kind)} {words}, ptr {slot}")
    last = scalar.icmp("eq", "i64", number, "1")
    e.lines += [
        f"  br i1 {last}, label %{shifted}, label %{again}",
        f"{again}:",
        f"  {after} = add i64 {at}, {wide.width}",
        f"  br label %{blocks}",
        f"{shifted}:",
    ]
    source = e.put(f"getelementptr {kind}, ptr {room}, i64 {start}")
    rest = e.put(f"load {e.type(kind)}, ptr {source}, align {bits // 8}")
    e.lines += [f"  br label %{done}", f"{done}:"]
    return e.put(f"phi {e.type(kind)} [ {words}, %{blocks} ], [ {rest}, %{shifted} ]")


def _in_order(e: Lanes, wide: Lanes, bits: int, first: str, second: str) -> str:
    """Pairs of words of the blocks, two of each block, as lanes of words."""
    places = ", ".join(f"i32 {i}, i32 {i + wide.width}" for i in range(wide.width))
    count = 2 * wide.width
    type = wide.type("i64")
    mixed = e.put(f"shufflevector {type} {first}, {type} {second}, <{count} x i32> <{places}>")
    return mixed if bits == 64 else e.put(f"bitcast <{count} x i64> {mixed} to {e.type('i32')}")

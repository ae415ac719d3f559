"""The LLVM text of matrix products: tiles of the result in registers, and what copies operands for them."""

from __future__ import annotations

from typing import NamedTuple

from tinygraph.backends.native.words import pointers, words

__all__ = ["FIELDS", "Tiles", "product_text", "splat"]

#: The words of a product, in order. Strides and sizes in bytes: ``down`` is that from row to row, ``across`` that from
#: column to column, ``away`` that from matrix to matrix of a stack. A *cell* is a part of the result that is computed
#: at a time, ``rows`` × ``columns``; ``each`` of them are a part that one thread takes. ``pack_a``: whether the first
#: operand is copied. ``pack_b``: 0 where the second is read where it is, 1 where its rows lie side by side, 2 where its
#: columns do. ``depth``: how much of the inner extent is added up at a time.
FIELDS = (
    "a", "b", "c", "given", "m", "n", "k", "a_down", "a_across", "a_away", "b_down", "b_across", "b_away", "c_down",
    "c_across", "c_away", "alpha", "beta", "rows", "columns", "down_cells", "across_cells", "cells", "each", "pack_a",
    "pack_b", "depth", "scratch", "scratch_size", "scratch_a",
)  # fmt: skip
_AT = {name: i for i, name in enumerate(FIELDS)}

_SUFFIX = {"float": "f32", "double": "f64"}


class Tiles(NamedTuple):
    """How a result is cut into tiles.

    Attributes
    ----------
    kind
        LLVM's type of an element.
    lanes
        Elements of a vector.
    rows
        Of a tile, at most.
    """

    kind: str
    lanes: int
    rows: int = 6

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return 4 if self.kind == "float" else 8

    @property
    def columns(self) -> int:
        """Of a tile: two vectors."""
        return 2 * self.lanes

    @property
    def beside(self) -> int:
        """Bytes of a tile that hangs over the edge of the result, at the start of a part's memory."""
        return -(-self.rows * self.columns * self.size // 64) * 64

    @property
    def vector(self) -> str:
        return f"<{self.lanes} x {self.kind}>"

    @property
    def suffix(self) -> str:
        return f"v{self.lanes}{_SUFFIX[self.kind]}"


def product_text(t: Tiles) -> str:
    """A module whose function ``product(words, first part, end)`` computes parts of products, as ``FIELDS`` says."""
    v, lanes = t.vector, t.lanes
    head = f"""
declare {v} @llvm.fma.{t.suffix}({v}, {v}, {v})
declare {t.kind} @llvm.fma.{_SUFFIX[t.kind]}({t.kind}, {t.kind}, {t.kind})
declare {v} @llvm.masked.load.{t.suffix}.p0(ptr, i32, <{lanes} x i1>, {v})
"""
    each = [_tile(t, rows) for rows in range(1, t.rows + 1)]
    return "\n".join([head, *each, _merge(t), _pack_rows(t), _pack_columns(t), _pack_a(t), _cell(t), _product(t)])


def splat(t: Tiles, name: str, scalar: str) -> str:
    """A vector ``%name`` that holds a scalar in every lane."""
    return f"""  %{name}_one = insertelement {t.vector} poison, {t.kind} {scalar}, i64 0
  %{name} = shufflevector {t.vector} %{name}_one, {t.vector} poison, <{t.lanes} x i32> zeroinitializer"""


def _masks(t: Tiles, count: str) -> str:
    """``%mask0`` and ``%mask1``: which lanes of a tile's two vectors are columns, of so many."""
    numbers = ", ".join(f"i32 {i}" for i in range(t.lanes))
    lines = [f"  %count32 = trunc i64 {count} to i32"]
    for j in range(2):
        lines += [
            f"  %left{j} = sub i32 %count32, {j * t.lanes}",
            f"  %left{j}_one = insertelement <{t.lanes} x i32> poison, i32 %left{j}, i64 0",
            f"  %lefts{j} = shufflevector <{t.lanes} x i32> %left{j}_one, <{t.lanes} x i32> poison,"
            f" <{t.lanes} x i32> zeroinitializer",
            f"  %mask{j} = icmp slt <{t.lanes} x i32> <{numbers}>, %lefts{j}",
        ]
    return "\n".join(lines)


def _tile(t: Tiles, rows: int) -> str:
    """A tile of so many rows: ``c = alpha · a · b + beta · c``, where c is not read if beta is 0."""
    v, lanes, size = t.vector, t.lanes, t.size
    sums = [(i, j) for i in range(rows) for j in range(2)]
    far = "\n".join(f"  %far{i} = mul i64 %a_down, {i}" for i in range(rows))
    phis = "\n".join(f"  %x{i}_{j} = phi {v} [ zeroinitializer, %entry ], [ %y{i}_{j}, %body ]" for i, j in sums)
    body = [
        f"""  %b_at{j} = getelementptr i8, ptr %pb, i64 {j * lanes * size}
  %b{j} = load {v}, ptr %b_at{j}, align {size}"""
        for j in range(2)
    ]
    for i in range(rows):
        body.append(
            f"""  %a_at{i} = getelementptr i8, ptr %pa, i64 %far{i}
  %a{i} = load {t.kind}, ptr %a_at{i}
{splat(t, f"as{i}", f"%a{i}")}"""
        )
        body += [f"  %y{i}_{j} = call {v} @llvm.fma.{t.suffix}({v} %as{i}, {v} %b{j}, {v} %x{i}_{j})" for j in range(2)]
    scaled = "\n".join(f"  %s{i}_{j} = fmul {v} %x{i}_{j}, %alphas" for i, j in sums)
    places = "\n".join(
        f"  %down{i} = mul i64 %c_down, {i}\n  %c{i}_0 = getelementptr i8, ptr %c, i64 %down{i}\n"
        f"  %c{i}_1 = getelementptr i8, ptr %c{i}_0, i64 {lanes * size}"
        for i in range(rows)
    )

    puts = "\n".join(f"  store {v} %s{i}_{j}, ptr %c{i}_{j}, align {size}" for i, j in sums)
    adds = "\n".join(
        f"""  %o{i}_{j} = load {v}, ptr %c{i}_{j}, align {size}
  %t{i}_{j} = call {v} @llvm.fma.{t.suffix}({v} %o{i}_{j}, {v} %betas, {v} %s{i}_{j})
  store {v} %t{i}_{j}, ptr %c{i}_{j}, align {size}"""
        for i, j in sums
    )
    return f"""
define internal void @tile{rows}(i64 %k, ptr %a, i64 %a_down, i64 %a_across, ptr %b, i64 %b_down, ptr %c, i64 %c_down,
                                 {t.kind} %alpha, {t.kind} %beta) {{
entry:
{far}
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i1, %body ]
  %pa = phi ptr [ %a, %entry ], [ %pa1, %body ]
  %pb = phi ptr [ %b, %entry ], [ %pb1, %body ]
{phis}
  %more = icmp slt i64 %i, %k
  br i1 %more, label %body, label %done
body:
{chr(10).join(body)}
  %pa1 = getelementptr i8, ptr %pa, i64 %a_across
  %pb1 = getelementptr i8, ptr %pb, i64 %b_down
  %i1 = add i64 %i, 1
  br label %loop
done:
{splat(t, "alphas", "%alpha")}
{splat(t, "betas", "%beta")}
{scaled}
{places}
  %fresh = fcmp oeq {t.kind} %beta, 0.0
  br i1 %fresh, label %set, label %add
set:
{puts}
  ret void
add:
{adds}
  ret void
}}
"""


def _merge(t: Tiles) -> str:
    """What of a tile belongs to the result, element by element."""
    kind = t.kind
    return f"""
define internal void @merge(ptr %tile, ptr %c, i64 %c_down, i64 %c_across, i64 %rows, i64 %columns,
                            {kind} %beta) {{
entry:
  %fresh = fcmp oeq {kind} %beta, 0.0
  br label %down
down:
  %i = phi i64 [ 0, %entry ], [ %i1, %next ]
  %p = phi ptr [ %tile, %entry ], [ %p1, %next ]
  %q = phi ptr [ %c, %entry ], [ %q1, %next ]
  %more = icmp slt i64 %i, %rows
  br i1 %more, label %across, label %done
across:
  %j = phi i64 [ 0, %down ], [ %j1, %put ]
  %more_j = icmp slt i64 %j, %columns
  br i1 %more_j, label %element, label %next
element:
  %x_at = getelementptr {kind}, ptr %p, i64 %j
  %x = load {kind}, ptr %x_at
  %y_far = mul i64 %j, %c_across
  %y_at = getelementptr i8, ptr %q, i64 %y_far
  br i1 %fresh, label %put, label %add
add:
  %y = load {kind}, ptr %y_at
  %sum = call {kind} @llvm.fma.{_SUFFIX[kind]}({kind} %y, {kind} %beta, {kind} %x)
  br label %put
put:
  %z = phi {kind} [ %x, %element ], [ %sum, %add ]
  store {kind} %z, ptr %y_at
  %j1 = add i64 %j, 1
  br label %across
next:
  %p1 = getelementptr i8, ptr %p, i64 {t.columns * t.size}
  %q1 = getelementptr i8, ptr %q, i64 %c_down
  %i1 = add i64 %i, 1
  br label %down
done:
  ret void
}}
"""


def _pack_rows(t: Tiles) -> str:
    """Up to a tile's columns of so many rows, side by side; zeros behind those there are."""
    v, lanes, size = t.vector, t.lanes, t.size
    load = f"call {v} @llvm.masked.load.{t.suffix}.p0"
    return f"""
define internal void @pack_rows(ptr %b, i64 %b_down, i64 %k, i64 %columns, ptr %to) {{
entry:
{_masks(t, "%columns")}
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i1, %put ]
  %p = phi ptr [ %b, %entry ], [ %p1, %put ]
  %q = phi ptr [ %to, %entry ], [ %q1, %put ]
  %more = icmp slt i64 %i, %k
  br i1 %more, label %put, label %done
put:
  %second = getelementptr i8, ptr %p, i64 {lanes * size}
  %x0 = {load}(ptr %p, i32 {size}, <{lanes} x i1> %mask0, {v} zeroinitializer)
  %x1 = {load}(ptr %second, i32 {size}, <{lanes} x i1> %mask1, {v} zeroinitializer)
  %behind = getelementptr i8, ptr %q, i64 {lanes * size}
  store {v} %x0, ptr %q, align {size}
  store {v} %x1, ptr %behind, align {size}
  %p1 = getelementptr i8, ptr %p, i64 %b_down
  %q1 = getelementptr i8, ptr %q, i64 {2 * lanes * size}
  %i1 = add i64 %i, 1
  br label %loop
done:
  ret void
}}
"""


def _turned(t: Tiles, names: list[str]) -> tuple[list[str], list[str]]:
    """Instructions that transpose a square, given as the vectors that are its rows, and the names of its columns."""
    lanes, lines, step = t.lanes, [], 1
    while step < lanes:
        before, names = names, list(names)
        for i in range(lanes):
            low, high = before[i & ~step], before[i | step]
            taken = [(j & ~step | i & step) + (lanes if j & step else 0) for j in range(lanes)]
            mask = ", ".join(f"i32 {x}" for x in taken)
            names[i] = f"%turned{step}_{i}"
            lines.append(f"  {names[i]} = shufflevector {t.vector} {low}, {t.vector} {high}, <{lanes} x i32> <{mask}>")
        step *= 2
    return lines, names


def _pack_columns(t: Tiles) -> str:
    """A vector's columns where columns lie side by side: squares are transposed in registers.

    The last column there is stands for those behind it.
    """
    v, lanes, size, row = t.vector, t.lanes, t.size, t.columns * t.size
    columns = [
        f"""  %is{j} = icmp slt i64 {j}, %last
  %j{j} = select i1 %is{j}, i64 {j}, i64 %last
  %far{j} = mul i64 %j{j}, %b_across
  %column{j} = getelementptr i8, ptr %b, i64 %far{j}"""
        for j in range(lanes)
    ]
    loads = [
        f"""  %at{j} = getelementptr {t.kind}, ptr %column{j}, i64 %i
  %x{j} = load {v}, ptr %at{j}, align {size}"""
        for j in range(lanes)
    ]
    lines, turned = _turned(t, [f"%x{j}" for j in range(lanes)])
    stores = [
        f"""  %to{i} = getelementptr i8, ptr %q, i64 {i * row}
  store {v} {name}, ptr %to{i}, align {size}"""
        for i, name in enumerate(turned)
    ]
    single = [
        f"""  %one_at{j} = getelementptr {t.kind}, ptr %column{j}, i64 %r
  %one{j} = load {t.kind}, ptr %one_at{j}
  %one_to{j} = getelementptr {t.kind}, ptr %qr, i64 {j}
  store {t.kind} %one{j}, ptr %one_to{j}"""
        for j in range(lanes)
    ]
    return f"""
define internal void @pack_columns(ptr %b, i64 %b_across, i64 %k, i64 %columns, ptr %to) {{
entry:
  %last = sub i64 %columns, 1
{chr(10).join(columns)}
  %whole = and i64 %k, {-lanes}
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i1, %square ]
  %q = phi ptr [ %to, %entry ], [ %q1, %square ]
  %more = icmp slt i64 %i, %whole
  br i1 %more, label %square, label %rest
square:
{chr(10).join([*loads, *lines, *stores])}
  %q1 = getelementptr i8, ptr %q, i64 {lanes * row}
  %i1 = add i64 %i, {lanes}
  br label %loop
rest:
  %r = phi i64 [ %i, %loop ], [ %r1, %single ]
  %qr = phi ptr [ %q, %loop ], [ %qr1, %single ]
  %more_r = icmp slt i64 %r, %k
  br i1 %more_r, label %single, label %done
single:
{chr(10).join(single)}
  %qr1 = getelementptr i8, ptr %qr, i64 {row}
  %r1 = add i64 %r, 1
  br label %rest
done:
  ret void
}}
"""


def _pack_a(t: Tiles) -> str:
    """Rows of the first operand, number by number, as a tile takes them."""
    return f"""
define internal void @pack_a(ptr %a, i64 %a_down, i64 %a_across, i64 %rows, i64 %k, ptr %to) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i1, %next ]
  %p = phi ptr [ %a, %entry ], [ %p1, %next ]
  %q = phi ptr [ %to, %entry ], [ %u, %next ]
  %more = icmp slt i64 %i, %k
  br i1 %more, label %row, label %done
row:
  %r = phi i64 [ 0, %loop ], [ %r1, %put ]
  %s = phi ptr [ %p, %loop ], [ %s1, %put ]
  %u = phi ptr [ %q, %loop ], [ %u1, %put ]
  %more_r = icmp slt i64 %r, %rows
  br i1 %more_r, label %put, label %next
put:
  %x = load {t.kind}, ptr %s
  store {t.kind} %x, ptr %u
  %s1 = getelementptr i8, ptr %s, i64 %a_down
  %u1 = getelementptr i8, ptr %u, i64 {t.size}
  %r1 = add i64 %r, 1
  br label %row
next:
  %p1 = getelementptr i8, ptr %p, i64 %a_across
  %i1 = add i64 %i, 1
  br label %loop
done:
  ret void
}}
"""


def _cell(t: Tiles) -> str:
    """A cell: its inner extent in parts, for each of them its panels of columns, in these its tiles."""
    size = t.size
    names = (
        "k",
        "a_down",
        "a_across",
        "b_down",
        "b_across",
        "c_down",
        "c_across",
        "pack_a",
        "pack_b",
        "depth",
        "scratch_a",
    )
    functions = ", ".join(f"ptr @tile{rows}" for rows in range(1, t.rows + 1))
    return f"""
@tiles = internal constant [{t.rows} x ptr] [{functions}]

define internal void @cell(ptr %words, ptr %a, ptr %b, ptr %c, i64 %m, i64 %n, ptr %scratch) {{
entry:
{words("%words", **{name: _AT[name] for name in names})}
{pointers("%words", given=_AT["given"])}
  %own = getelementptr i64, ptr %words, i64 {_AT["alpha"]}
  %is_given = icmp ne ptr %given, null
  %alpha_at = select i1 %is_given, ptr %given, ptr %own
  %alpha = load {t.kind}, ptr %alpha_at
  %beta_at = getelementptr i64, ptr %words, i64 {_AT["beta"]}
  %beta0 = load {t.kind}, ptr %beta_at
  %m5 = add i64 %m, {t.rows - 1}
  %strips = sdiv i64 %m5, {t.rows}
  %low = sdiv i64 %m, %strips
  %extra = srem i64 %m, %strips
  %packs_a = icmp ne i64 %pack_a, 0
  %packs_b = icmp ne i64 %pack_b, 0
  %by_columns = icmp eq i64 %pack_b, 2
  %spread = icmp ne i64 %c_across, {size}
  %copy_b = getelementptr i8, ptr %scratch, i64 {t.beside}
  %copy_a = getelementptr i8, ptr %scratch, i64 %scratch_a
  br label %depths
depths:
  %p = phi i64 [ 0, %entry ], [ %p1, %depth_next ]
  %beta = phi {t.kind} [ %beta0, %entry ], [ 1.0, %depth_next ]
  %left = sub i64 %k, %p
  %short = icmp slt i64 %left, %depth
  %kc = select i1 %short, i64 %left, i64 %depth
  %a_far = mul i64 %p, %a_across
  %a_here = getelementptr i8, ptr %a, i64 %a_far
  %b_far = mul i64 %p, %b_down
  %b_here = getelementptr i8, ptr %b, i64 %b_far
  br i1 %packs_a, label %copies, label %panels_first
copies:
  %w = phi i64 [ 0, %depths ], [ %w1, %copy ]
  %wr = phi i64 [ 0, %depths ], [ %wr1, %copy ]
  %more_w = icmp slt i64 %w, %strips
  br i1 %more_w, label %copy, label %panels_first
copy:
  %w_more = icmp slt i64 %w, %extra
  %w_one = zext i1 %w_more to i64
  %w_rows = add i64 %low, %w_one
  %w_far = mul i64 %wr, %a_down
  %w_from = getelementptr i8, ptr %a_here, i64 %w_far
  %w_count = mul i64 %wr, %kc
  %w_to = getelementptr {t.kind}, ptr %copy_a, i64 %w_count
  call void @pack_a(ptr %w_from, i64 %a_down, i64 %a_across, i64 %w_rows, i64 %kc, ptr %w_to)
  %w1 = add i64 %w, 1
  %wr1 = add i64 %wr, %w_rows
  br label %copies
panels_first:
  br label %panels
panels:
  %j = phi i64 [ 0, %panels_first ], [ %j1, %panel_next ]
  %more_j = icmp slt i64 %j, %n
  br i1 %more_j, label %panel_begin, label %depth_next
panel_begin:
  %n_left = sub i64 %n, %j
  %narrow = icmp slt i64 %n_left, {t.columns}
  %wide = select i1 %narrow, i64 %n_left, i64 {t.columns}
  %b_way = mul i64 %j, %b_across
  %from = getelementptr i8, ptr %b_here, i64 %b_way
  %to_copy = or i1 %packs_b, %narrow
  br i1 %to_copy, label %pack, label %strips_first
pack:
  br i1 %by_columns, label %columns, label %rows
rows:
  call void @pack_rows(ptr %from, i64 %b_down, i64 %kc, i64 %wide, ptr %copy_b)
  br label %strips_first
columns:
  call void @pack_columns(ptr %from, i64 %b_across, i64 %kc, i64 %wide, ptr %copy_b)
  %second = icmp sgt i64 %wide, {t.lanes}
  br i1 %second, label %more_columns, label %strips_first
more_columns:
  %second_far = mul i64 %b_across, {t.lanes}
  %second_from = getelementptr i8, ptr %from, i64 %second_far
  %second_to = getelementptr i8, ptr %copy_b, i64 {t.lanes * size}
  %second_wide = sub i64 %wide, {t.lanes}
  call void @pack_columns(ptr %second_from, i64 %b_across, i64 %kc, i64 %second_wide, ptr %second_to)
  br label %strips_first
strips_first:
  %panel = phi ptr [ %from, %panel_begin ], [ %copy_b, %rows ], [ %copy_b, %columns ], [ %copy_b, %more_columns ]
  %panel_down = phi i64 [ %b_down, %panel_begin ], [ {t.columns * size}, %rows ], [ {t.columns * size}, %columns ],
                    [ {t.columns * size}, %more_columns ]
  %c_way = mul i64 %j, %c_across
  %c_here = getelementptr i8, ptr %c, i64 %c_way
  br label %strips_head
strips_head:
  %s = phi i64 [ 0, %strips_first ], [ %s1, %tile_next ]
  %row = phi i64 [ 0, %strips_first ], [ %row1, %tile_next ]
  %more_s = icmp slt i64 %s, %strips
  br i1 %more_s, label %tile, label %panel_next
tile:
  %s_more = icmp slt i64 %s, %extra
  %s_one = zext i1 %s_more to i64
  %height = add i64 %low, %s_one
  %a_way = mul i64 %row, %a_down
  %a_direct = getelementptr i8, ptr %a_here, i64 %a_way
  %a_count = mul i64 %row, %kc
  %a_copy = getelementptr {t.kind}, ptr %copy_a, i64 %a_count
  %high_bytes = mul i64 %height, {size}
  %at_a = select i1 %packs_a, ptr %a_copy, ptr %a_direct
  %down = select i1 %packs_a, i64 {size}, i64 %a_down
  %across = select i1 %packs_a, i64 %high_bytes, i64 %a_across
  %c_rows = mul i64 %row, %c_down
  %at_c = getelementptr i8, ptr %c_here, i64 %c_rows
  %indirect = or i1 %narrow, %spread
  %to_c = select i1 %indirect, ptr %scratch, ptr %at_c
  %to_down = select i1 %indirect, i64 {t.columns * size}, i64 %c_down
  %to_beta = select i1 %indirect, {t.kind} 0.0, {t.kind} %beta
  %tile_number = sub i64 %height, 1
  %tile_at = getelementptr ptr, ptr @tiles, i64 %tile_number
  %tile_f = load ptr, ptr %tile_at
  call void %tile_f(i64 %kc, ptr %at_a, i64 %down, i64 %across, ptr %panel, i64 %panel_down, ptr %to_c, i64 %to_down,
                    {t.kind} %alpha, {t.kind} %to_beta)
  br i1 %indirect, label %merge, label %tile_next
merge:
  call void @merge(ptr %scratch, ptr %at_c, i64 %c_down, i64 %c_across, i64 %height, i64 %wide, {t.kind} %beta)
  br label %tile_next
tile_next:
  %s1 = add i64 %s, 1
  %row1 = add i64 %row, %height
  br label %strips_head
panel_next:
  %j1 = add i64 %j, {t.columns}
  br label %panels
depth_next:
  %p1 = add i64 %p, %kc
  %more_p = icmp slt i64 %p1, %k
  br i1 %more_p, label %depths, label %done
done:
  ret void
}}
"""


def _product(t: Tiles) -> str:
    """Parts of a product, cell by cell."""
    plain = [name for name in FIELDS if name not in ("a", "b", "c", "scratch", "given", "alpha", "beta")]
    return f"""
define void @product(ptr %words, i64 %begin, i64 %end) {{
entry:
{pointers("%words", a=_AT["a"], b=_AT["b"], c=_AT["c"], scratch=_AT["scratch"])}
{words("%words", **{name: _AT[name] for name in plain})}
  %per = mul i64 %down_cells, %across_cells
  br label %parts
parts:
  %p = phi i64 [ %begin, %entry ], [ %p1, %part_next ]
  %more_p = icmp slt i64 %p, %end
  br i1 %more_p, label %part, label %done
part:
  %first = mul i64 %p, %each
  %after = add i64 %first, %each
  %short = icmp slt i64 %after, %cells
  %stop = select i1 %short, i64 %after, i64 %cells
  %memory_far = mul i64 %p, %scratch_size
  %memory = getelementptr i8, ptr %scratch, i64 %memory_far
  br label %head
head:
  %t = phi i64 [ %first, %part ], [ %t1, %cell ]
  %more = icmp slt i64 %t, %stop
  br i1 %more, label %cell, label %part_next
cell:
  %matrix = sdiv i64 %t, %per
  %place = srem i64 %t, %per
  %row_cell = srem i64 %place, %down_cells
  %column_cell = sdiv i64 %place, %down_cells
  %i = mul i64 %row_cell, %rows
  %j = mul i64 %column_cell, %columns
  %m_left = sub i64 %m, %i
  %m_short = icmp slt i64 %m_left, %rows
  %mc = select i1 %m_short, i64 %m_left, i64 %rows
  %n_left = sub i64 %n, %j
  %n_short = icmp slt i64 %n_left, %columns
  %nc = select i1 %n_short, i64 %n_left, i64 %columns
  %a0 = mul i64 %matrix, %a_away
  %a1 = mul i64 %i, %a_down
  %a2 = add i64 %a0, %a1
  %a3 = getelementptr i8, ptr %a, i64 %a2
  %b0 = mul i64 %matrix, %b_away
  %b1 = mul i64 %j, %b_across
  %b2 = add i64 %b0, %b1
  %b3 = getelementptr i8, ptr %b, i64 %b2
  %c0 = mul i64 %matrix, %c_away
  %c1 = mul i64 %i, %c_down
  %c2 = add i64 %c0, %c1
  %j_bytes = mul i64 %j, %c_across
  %c3 = add i64 %c2, %j_bytes
  %c4 = getelementptr i8, ptr %c, i64 %c3
  call void @cell(ptr %words, ptr %a3, ptr %b3, ptr %c4, i64 %mc, i64 %nc, ptr %memory)
  %t1 = add i64 %t, 1
  br label %head
part_next:
  %p1 = add i64 %p, 1
  br label %parts
done:
  ret void
}}
"""

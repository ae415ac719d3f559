"""The LLVM text of products of a matrix with a vector: rows as dot products, or a sum of rows.

Sums are added up in several vectors at a time, which do not wait for one another, and in blocks, so that their errors
do not grow with their length.
"""

from __future__ import annotations

from tinygraph.backends.native.gemm_text import Tiles, splat
from tinygraph.backends.native.words import pointers, words

__all__ = ["FIELDS", "GROUP", "PANEL", "vector_text"]

#: The words of a product, in order: matrix, vector, result, address of alpha or 0; rows and columns of the matrix as it
#: lies in memory; bytes from row to row, from number to number of the vector and of the result; alpha and beta.
FIELDS = ("a", "x", "y", "given", "m", "n", "a_down", "x_step", "y_step", "alpha", "beta")
_AT = {name: i for i, name in enumerate(FIELDS)}

#: What parts count: rows whose dot products are computed together, and vectors of a panel of columns.
GROUP, PANEL = 4, 128

#: Rows that are added to a panel together.
TOGETHER = 8

#: How many terms are added up before their sum is added to that of others: of a dot product, and of rows.
_BLOCK, _ROWS = 4096, 512


def vector_text(t: Tiles) -> str:
    """A module of ``dots(words, begin, end)``, rows by vector, and ``sums(words, begin, end)``, vector by rows.

    The numbers of a row lie side by side in memory. ``dots`` counts in groups of rows, and the numbers of its vector do
    so, too; ``sums`` counts in panels of columns, and those of its result do.
    """
    v, lanes = t.vector, t.lanes
    head = f"""
declare {v} @llvm.fma.{t.suffix}({v}, {v}, {v})
declare {v} @llvm.masked.load.{t.suffix}.p0(ptr, i32, <{lanes} x i1>, {v})
declare {t.kind} @llvm.fma.{_scalar(t)}({t.kind}, {t.kind}, {t.kind})
declare i64 @llvm.smin.i64(i64, i64)
"""
    each = [_dot(t, GROUP, 2), _dot(t, 1, 4), _rows(t, TOGETHER), _rows(t, 1)]
    return "\n".join([head, *each, _dots(), _sums(t)])


def _scales(t: Tiles) -> str:
    """``%alpha`` and ``%beta`` of the words."""
    return f"""{pointers("%words", given=_AT["given"])}
  %own = getelementptr i64, ptr %words, i64 {_AT["alpha"]}
  %is_given = icmp ne ptr %given, null
  %alpha_at = select i1 %is_given, ptr %given, ptr %own
  %alpha = load {t.kind}, ptr %alpha_at
  %beta_at = getelementptr i64, ptr %words, i64 {_AT["beta"]}
  %beta = load {t.kind}, ptr %beta_at
  %fresh = fcmp oeq {t.kind} %beta, 0.0"""


def _mask(t: Tiles, name: str, left: str) -> str:
    """The lanes below a number."""
    numbers = ", ".join(f"i64 {i}" for i in range(t.lanes))
    return f"""  %{name}_one = insertelement <{t.lanes} x i64> poison, i64 {left}, i64 0
  %{name}_all = shufflevector <{t.lanes} x i64> %{name}_one, <{t.lanes} x i64> poison, <{t.lanes} x i32> zeroinitializer
  %{name} = icmp slt <{t.lanes} x i64> <{numbers}>, %{name}_all"""


def _across(t: Tiles, value: str, name: str) -> list[str]:
    """All lanes of a vector added up, pairwise, as ``%name``."""
    lines, width, at = [], t.lanes, value
    while width > 1:
        half = width // 2
        type = f"<{width} x {t.kind}>"
        low, high = (", ".join(f"i32 {first + i}" for i in range(half)) for first in (0, half))
        lines += [
            f"  %{name}_l{half} = shufflevector {type} {at}, {type} poison, <{half} x i32> <{low}>",
            f"  %{name}_h{half} = shufflevector {type} {at}, {type} poison, <{half} x i32> <{high}>",
            f"  %{name}_s{half} = fadd <{half} x {t.kind}> %{name}_l{half}, %{name}_h{half}",
        ]
        at, width = f"%{name}_s{half}", half
    return [*lines, f"  %{name} = extractelement <1 x {t.kind}> {at}, i64 0"]


def _dot(t: Tiles, rows: int, unroll: int) -> str:
    """So many rows by the vector: whole vectors in turns of ``unroll``, then what is left."""
    v, lanes, size = t.vector, t.lanes, t.size
    sums = [(r, u) for r in range(rows) for u in range(unroll)]
    names = [f"{r}_{u}" for r, u in sums]
    far = "\n".join(
        f"  %far{r} = mul i64 %a_down, {r}\n  %row{r} = getelementptr i8, ptr %a, i64 %far{r}" for r in range(rows)
    )

    def step(u: int, at: str, tag: str, mask: str | None) -> list[str]:
        def load(name: str, place: str) -> str:
            if mask is None:
                return f"  %{name} = load {v}, ptr {place}, align {size}"
            masked = f"call {v} @llvm.masked.load.{t.suffix}.p0"
            return f"  %{name} = {masked}(ptr {place}, i32 {size}, <{lanes} x i1> {mask}, {v} zeroinitializer)"

        lines = [
            f"  %i{tag}{u} = add i64 {at}, {u * lanes}",
            f"  %x_at{tag}{u} = getelementptr {t.kind}, ptr %x, i64 %i{tag}{u}",
            load(f"x{tag}{u}", f"%x_at{tag}{u}"),
        ]
        for r in range(rows):
            n = f"{tag}{r}_{u}"
            before = f"%s{r}_{u}" if not tag else f"%z{r}_{u}"
            lines += [
                f"  %a_at{n} = getelementptr {t.kind}, ptr %row{r}, i64 %i{tag}{u}",
                load(f"a{n}", f"%a_at{n}"),
                f"  %f{n} = call {v} @llvm.fma.{t.suffix}({v} %a{n}, {v} %x{tag}{u}, {v} {before})",
            ]
        return lines

    whole = [line for u in range(unroll) for line in step(u, "%i", "", None)]
    phis = "\n".join(f"  %s{n} = phi {v} [ zeroinitializer, %block ], [ %f{n}, %body ]" for n in names)
    rest_phis = "\n".join(f"  %z{n} = phi {v} [ %s{n}, %loop ], [ %{'fr' if n.endswith('_0') else 'z'}{n}, %rest ]"
                          for n in names)  # fmt: skip
    ends: list[str] = []
    for r in range(rows):
        at = f"%z{r}_0"
        for u in range(1, unroll):
            ends.append(f"  %t{r}_{u} = fadd {v} {at}, %z{r}_{u}")
            at = f"%t{r}_{u}"
        ends += _across(t, at, f"sum{r}")
        ends.append(f"  %total{r}_1 = fadd {t.kind} %total{r}, %sum{r}")
    totals = "\n".join(f"  %total{r} = phi {t.kind} [ 0.0, %entry ], [ %total{r}_1, %block_end ]" for r in range(rows))
    stores: list[str] = []
    for r in range(rows):
        stores += [
            f"  %y_far{r} = mul i64 %y_step, {r}",
            f"  %y_at{r} = getelementptr i8, ptr %y, i64 %y_far{r}",
            f"  %scaled{r} = fmul {t.kind} %total{r}, %alpha",
            f"  %before{r} = load {t.kind}, ptr %y_at{r}",
            f"  %kept{r} = select i1 %fresh, {t.kind} 0.0, {t.kind} %before{r}",
            f"  %old{r} = fmul {t.kind} %kept{r}, %beta",
            f"  %more{r} = fadd {t.kind} %old{r}, %scaled{r}",
            f"  %new{r} = select i1 %fresh, {t.kind} %scaled{r}, {t.kind} %more{r}",
            f"  store {t.kind} %new{r}, ptr %y_at{r}",
        ]
    return f"""
define internal void @dot{rows}(ptr %words, ptr %a, ptr %y) {{
entry:
{pointers("%words", x=_AT["x"])}
{words("%words", n=_AT["n"], a_down=_AT["a_down"], y_step=_AT["y_step"])}
{_scales(t)}
{far}
  br label %blocks
blocks:
  %p = phi i64 [ 0, %entry ], [ %top, %block_end ]
{totals}
  %more_p = icmp slt i64 %p, %n
  br i1 %more_p, label %block, label %store
block:
  %after = add i64 %p, {_BLOCK}
  %top = call i64 @llvm.smin.i64(i64 %after, i64 %n)
  %last = sub i64 %top, {unroll * lanes}
  br label %loop
loop:
  %i = phi i64 [ %p, %block ], [ %next, %body ]
{phis}
  %more = icmp sle i64 %i, %last
  br i1 %more, label %body, label %rests
body:
{chr(10).join(whole)}
  %next = add i64 %i, {unroll * lanes}
  br label %loop
rests:
  %j = phi i64 [ %i, %loop ], [ %j1, %rest ]
{rest_phis}
  %more_j = icmp slt i64 %j, %top
  br i1 %more_j, label %rest, label %block_end
rest:
  %left = sub i64 %top, %j
{_mask(t, "mask", "%left")}
{chr(10).join(step(0, "%j", "r", "%mask"))}
  %j1 = add i64 %j, {lanes}
  br label %rests
block_end:
{chr(10).join(ends)}
  br label %blocks
store:
{chr(10).join(stores)}
  ret void
}}
"""


def _scalar(t: Tiles) -> str:
    return "f32" if t.kind == "float" else "f64"


def _rows(t: Tiles, count: int) -> str:
    """So many rows, each times its number of the vector, added to a panel of columns."""
    v, lanes, size = t.vector, t.lanes, t.size
    masked = f"call {v} @llvm.masked.load.{t.suffix}.p0"
    begin: list[str] = []
    for r in range(count):
        begin += [
            f"  %far{r} = mul i64 %a_down, {r}",
            f"  %row{r} = getelementptr i8, ptr %a, i64 %far{r}",
            f"  %x_far{r} = mul i64 %x_step, {r}",
            f"  %x_at{r} = getelementptr i8, ptr %x, i64 %x_far{r}",
            f"  %one{r} = load {t.kind}, ptr %x_at{r}",
            splat(t, f"x{r}", f"%one{r}"),
        ]

    def step(at: str, tag: str, mask: str) -> str:
        lines = [
            f"  %to{tag} = getelementptr {t.kind}, ptr %panel, i64 {at}",
            f"  %f{tag}_0 = load {v}, ptr %to{tag}, align {size}",
        ]
        for r in range(count):
            get = f"{masked}(ptr %at{tag}{r}, i32 {size}, <{lanes} x i1> {mask}, {v} zeroinitializer)"
            lines += [
                f"  %at{tag}{r} = getelementptr {t.kind}, ptr %row{r}, i64 {at}",
                f"  %a{tag}{r} = {get if mask else f'load {v}, ptr %at{tag}{r}, align {size}'}",
                f"  %f{tag}_{r + 1} = call {v} @llvm.fma.{t.suffix}({v} %a{tag}{r}, {v} %x{r}, {v} %f{tag}_{r})",
            ]
        lines.append(f"  store {v} %f{tag}_{count}, ptr %to{tag}, align {size}")
        return "\n".join(lines)

    return f"""
define internal void @rows{count}(ptr %panel, ptr %a, i64 %a_down, ptr %x, i64 %x_step, i64 %columns) {{
entry:
{chr(10).join(begin)}
  %last = sub i64 %columns, {lanes}
  br label %loop
loop:
  %j = phi i64 [ 0, %entry ], [ %j1, %body ]
  %more = icmp sle i64 %j, %last
  br i1 %more, label %body, label %end
body:
{step("%j", "w", "")}
  %j1 = add i64 %j, {lanes}
  br label %loop
end:
  %left = sub i64 %columns, %j
  %some = icmp sgt i64 %left, 0
  br i1 %some, label %rest, label %done
rest:
{_mask(t, "mask", "%left")}
{step("%j", "r", "%mask")}
  br label %done
done:
  ret void
}}
"""


def _sums(t: Tiles) -> str:
    v, lanes, size, kind = t.vector, t.lanes, t.size, t.kind
    panel = PANEL * lanes
    return f"""
define void @sums(ptr %words, i64 %begin, i64 %end) {{
entry:
{pointers("%words", a=_AT["a"], x=_AT["x"], y=_AT["y"])}
{words("%words", m=_AT["m"], n=_AT["n"], a_down=_AT["a_down"], x_step=_AT["x_step"])}
{_scales(t)}
  %panel = alloca [{panel} x {kind}], align 64
  br label %units
units:
  %unit = phi i64 [ %begin, %entry ], [ %unit1, %unit_end ]
  %more_units = icmp slt i64 %unit, %end
  br i1 %more_units, label %unit_begin, label %done
unit_begin:
  %j0 = mul i64 %unit, {panel}
  %n_left = sub i64 %n, %j0
  %columns = call i64 @llvm.smin.i64(i64 %n_left, i64 {panel})
  %a_unit = getelementptr {kind}, ptr %a, i64 %j0
  %y_unit = getelementptr {kind}, ptr %y, i64 %j0
  br label %blocks
blocks:
  %p = phi i64 [ 0, %unit_begin ], [ %top, %block_end ]
  %fresh_now = phi i1 [ %fresh, %unit_begin ], [ false, %block_end ]
  %beta_now = phi {kind} [ %beta, %unit_begin ], [ 1.0, %block_end ]
  %more_p = icmp slt i64 %p, %m
  br i1 %more_p, label %clear, label %unit_end
clear:
  %c = phi i64 [ 0, %blocks ], [ %c1, %clear ]
  %c_at = getelementptr {kind}, ptr %panel, i64 %c
  store {v} zeroinitializer, ptr %c_at, align {size}
  %c1 = add i64 %c, {lanes}
  %more_c = icmp slt i64 %c1, %columns
  br i1 %more_c, label %clear, label %block
block:
  %after = add i64 %p, {_ROWS}
  %top = call i64 @llvm.smin.i64(i64 %after, i64 %m)
  br label %head
head:
  %i = phi i64 [ %p, %block ], [ %i_many, %many ], [ %i_one, %one ]
  %more = icmp slt i64 %i, %top
  br i1 %more, label %row, label %put
row:
  %a_far = mul i64 %i, %a_down
  %a_here = getelementptr i8, ptr %a_unit, i64 %a_far
  %x_far = mul i64 %i, %x_step
  %x_here = getelementptr i8, ptr %x, i64 %x_far
  %i_many = add i64 %i, {TOGETHER}
  %all = icmp sle i64 %i_many, %top
  br i1 %all, label %many, label %one
many:
  call void @rows{TOGETHER}(ptr %panel, ptr %a_here, i64 %a_down, ptr %x_here, i64 %x_step, i64 %columns)
  br label %head
one:
  call void @rows1(ptr %panel, ptr %a_here, i64 %a_down, ptr %x_here, i64 %x_step, i64 %columns)
  %i_one = add i64 %i, 1
  br label %head
put:
  %j = phi i64 [ 0, %head ], [ %j1, %put ]
  %s_at = getelementptr {kind}, ptr %panel, i64 %j
  %s = load {kind}, ptr %s_at
  %scaled = fmul {kind} %s, %alpha
  %y_here = getelementptr {kind}, ptr %y_unit, i64 %j
  %before = load {kind}, ptr %y_here
  %kept = select i1 %fresh_now, {kind} 0.0, {kind} %before
  %sum = call {kind} @llvm.fma.{_scalar(t)}({kind} %kept, {kind} %beta_now, {kind} %scaled)
  %new = select i1 %fresh_now, {kind} %scaled, {kind} %sum
  store {kind} %new, ptr %y_here
  %j1 = add i64 %j, 1
  %more_j = icmp slt i64 %j1, %columns
  br i1 %more_j, label %put, label %block_end
block_end:
  br label %blocks
unit_end:
  %unit1 = add i64 %unit, 1
  br label %units
done:
  ret void
}}
"""


def _dots() -> str:
    return f"""
define void @dots(ptr %words, i64 %begin, i64 %end) {{
entry:
{pointers("%words", a=_AT["a"], y=_AT["y"])}
{words("%words", m=_AT["m"], a_down=_AT["a_down"], y_step=_AT["y_step"])}
  %first = mul i64 %begin, {GROUP}
  %stop = mul i64 %end, {GROUP}
  %top = call i64 @llvm.smin.i64(i64 %stop, i64 %m)
  br label %head
head:
  %i = phi i64 [ %first, %entry ], [ %i4, %four ], [ %i1, %one ]
  %more = icmp slt i64 %i, %top
  br i1 %more, label %row, label %done
row:
  %a_far = mul i64 %i, %a_down
  %a_here = getelementptr i8, ptr %a, i64 %a_far
  %y_far = mul i64 %i, %y_step
  %y_here = getelementptr i8, ptr %y, i64 %y_far
  %i4 = add i64 %i, {GROUP}
  %all = icmp sle i64 %i4, %top
  br i1 %all, label %four, label %one
four:
  call void @dot{GROUP}(ptr %words, ptr %a_here, ptr %y_here)
  br label %head
one:
  call void @dot1(ptr %words, ptr %a_here, ptr %y_here)
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}}
"""

"""How a kernel reaches its operands: its arguments, loops, and loads and stores of lanes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tinygraph.backends.native import rows
from tinygraph.backends.native.emit import ELEMENT, Lanes, Module
from tinygraph.program.nest import Nest

__all__ = ["Operands", "in_memory", "size_of"]

#: Bodies up to this size are computed on two vectors at a time, which do not wait for each other.
_SMALL = 24


def in_memory(dtype: str) -> str:
    """LLVM's type of an element of a dtype in memory."""
    return "i8" if dtype == "bool" else ELEMENT[dtype]


def size_of(dtype: str) -> int:
    """Bytes of an element."""
    return np.dtype(dtype).itemsize


class Operands:
    """Text of a kernel: base of what prints the nest itself.

    Attributes
    ----------
    lines
        The instructions so far.
    width
        Number of lanes.
    scalar, lanes, row
        Writers of scalars, of lanes, and of values that rows have.
    row_values, splats
        Registers of the row values, and of what lanes read of them.
    """

    def __init__(self, module: Module, nest: Nest, vector: int) -> None:
        self.module = module
        self.nest = nest
        self.schedule = nest.schedule
        self.slots = nest.slots
        self.lines: list[str] = []
        self.counter = [0]
        self.width = nest.single or _width(nest, vector)
        self.scalar = Lanes(module, self.lines, 1, self.counter)
        self.lanes = Lanes(module, self.lines, self.width, self.counter)
        # Values for each row: scalars, in a vertical nest lanes.
        self.row = self.lanes if nest.vertical else self.scalar
        self.row_values: dict[int, str] = {}
        self.splats: dict[int, str] = {}
        self.philox: dict[int, list[str]] = {}
        self.entry: list[str] = []

    # --- text ---------------------------------------------------------------------------------------------------------

    def put(self, text: str) -> str:
        return self.scalar.put(text)

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def fresh(self, name: str) -> str:
        self.counter[0] += 1
        return f"{name}{self.counter[0]}"

    def variable(self, type: str) -> str:
        """Memory on the stack for something that changes; it becomes a register."""
        self.counter[0] += 1
        register = f"%m{self.counter[0]}"
        self.entry.append(f"  {register} = alloca {type}")
        return register

    @contextmanager
    def loop(self, start: str, end: str, step: str) -> Iterator[str]:
        """A loop from ``start`` to below ``end``; yields the register of its counter."""
        counter = self.variable("i64")
        head, body, done = self.fresh("head"), self.fresh("body"), self.fresh("done")
        self.do(f"store i64 {start}, ptr {counter}")
        self.do(f"br label %{head}")
        self.label(head)
        i = self.put(f"load i64, ptr {counter}")
        more = self.put(f"icmp slt i64 {i}, {end}")
        self.do(f"br i1 {more}, label %{body}, label %{done}")
        self.label(body)
        yield i
        after = self.put(f"add i64 {i}, {step}")
        self.do(f"store i64 {after}, ptr {counter}")
        self.do(f"br label %{head}")
        self.label(done)

    def smaller(self, a: str, b: str) -> str:
        self.module.declare("llvm.smin.i64", "i64", ["i64", "i64"])
        return self.put(f"call i64 @llvm.smin.i64(i64 {a}, i64 {b})")

    def _arguments(self) -> None:
        nest, slots = self.nest, self.slots

        def word(i: int, type: str = "i64") -> str:
            place = self.put(f"getelementptr i64, ptr %args, i64 {i}")
            return self.put(f"load {type}, ptr {place}")

        self.bases = [word(k, "i64" if a.role == "index" else "ptr") for k, a in enumerate(nest.accesses)]
        self.extents = [word(slots.extents + i) for i in range(nest.axes)]
        self.total = word(slots.piece) if nest.flat else ""
        self.strides: list[list[str]] = []
        for k in range(len(nest.accesses)):
            used = [i for i in range(nest.axes) if not self._is_fixed(k, i)]
            self.strides.append([word(slots.strides[k] + i) if i in used else "" for i in range(nest.axes)])
        self.dims = [
            [(word(slots.dims[k] + 2 * d), word(slots.dims[k] + 2 * d + 1)) for d in range(a.dims)]
            for k, a in enumerate(nest.accesses)
        ]
        self.error = word(slots.error, "ptr") if nest.checks else ""

    def _is_fixed(self, k: int, axis: int) -> bool:
        """Whether the stride of an access along an axis is known from the structure."""
        nest = self.nest
        lane = nest.outer if nest.vertical else nest.axes - 1
        return axis == lane and nest.accesses[k].inner in ("unit", "same")

    def _moved(self, bases: list[str], axis: int, i: str) -> list[str]:
        """The places of all operands at index ``i`` of an axis."""
        moved = []
        for k, access in enumerate(self.nest.accesses):
            step = self.put(f"mul i64 {i}, {self.strides[k][axis]}")
            if access.role == "index":
                moved.append(self.put(f"add i64 {bases[k]}, {step}"))
            else:
                moved.append(self.put(f"getelementptr i8, ptr {bases[k]}, i64 {step}"))
        return moved

    # --- lanes in memory ----------------------------------------------------------------------------------------------

    def _offsets(self, e: Lanes, k: int, i: str) -> str:
        """The distance of each lane of a strided access from its base, in bytes (of an index: what it counts)."""
        axis = self.nest.outer if self.nest.vertical else self.nest.axes - 1
        places = ", ".join(f"i64 {lane}" for lane in range(e.width))
        here = e.op("add", "i64", e.splat("i64", i), f"<{places}>") if e.width > 1 else i
        return e.op("mul", "i64", here, e.splat("i64", self.strides[k][axis]))

    def _counted(self, k: int, bases: list[str], i: str) -> str:
        e = self.lanes
        base = e.splat("i64", bases[k])
        inner = self.nest.accesses[k].inner
        if inner == "same":
            return base
        if inner == "strided":
            return e.op("add", "i64", base, self._offsets(e, k, i))
        places = ", ".join(f"i64 {lane}" for lane in range(e.width))
        return e.op("add", "i64", base, e.op("add", "i64", e.splat("i64", i), f"<{places}>"))

    def _lane_load(self, k: int, bases: list[str], i: str, mask: str | None) -> str:
        access = self.nest.accesses[k]
        if access.role == "index":
            return self._counted(k, bases, i)
        e, memory, size = self.lanes, in_memory(access.dtype), size_of(access.dtype)
        type = e.type(memory)
        if access.inner == "same":
            value = e.splat(memory, self.put(f"load {memory}, ptr {bases[k]}, align {size}"))
        elif access.inner == "strided":
            value = self._scattered_load(e, memory, size, bases[k], self._offsets(e, k, i), mask)
        else:
            place = self.put(f"getelementptr {memory}, ptr {bases[k]}, i64 {i}")
            if mask is None:
                value = self.put(f"load {type}, ptr {place}, align {size}")
            else:
                name = f"llvm.masked.load.{_mangled(type)}.p0"
                self.module.declare(name, type, ["ptr", "i32", e.type("i1"), type])
                value = self.put(
                    f"call {type} @{name}(ptr {place}, i32 {size}, {e.type('i1')} {mask}, {type} zeroinitializer)"
                )
        return e.icmp("ne", "i8", value, e.constant("i8", 0)) if access.dtype == "bool" else value

    def _scattered_load(self, e: Lanes, memory: str, size: int, base: str, offsets: str, mask: str | None) -> str:
        type, bools = e.type(memory), e.type("i1")
        if e.width == 1:
            place = self.put(f"getelementptr i8, ptr {base}, i64 {offsets}")
            return self.put(f"load {memory}, ptr {place}, align {size}")
        places = self.put(f"getelementptr i8, ptr {base}, {e.type('i64')} {offsets}")
        name = f"llvm.masked.gather.{_mangled(type)}.v{e.width}p0"
        self.module.declare(name, type, [e.type("ptr"), "i32", bools, type])
        mask = mask or e.constant("i1", True)
        return self.put(
            f"call {type} @{name}({e.type('ptr')} {places}, i32 {size}, {bools} {mask}, {type} zeroinitializer)"
        )

    def _lane_store(self, k: int, value: str, bases: list[str], i: str, mask: str | None) -> None:
        access = self.nest.accesses[k]
        e, memory, size = self.lanes, in_memory(access.dtype), size_of(access.dtype)
        type, bools = e.type(memory), e.type("i1")
        if access.dtype == "bool":
            value = e.cast("zext", "i1", "i8", value)
        if access.inner == "strided":
            places = self.put(f"getelementptr i8, ptr {bases[k]}, {e.type('i64')} {self._offsets(e, k, i)}")
            name = f"llvm.masked.scatter.{_mangled(type)}.v{e.width}p0"
            self.module.declare(name, "void", [type, e.type("ptr"), "i32", bools])
            mask = mask or e.constant("i1", True)
            self.do(f"call void @{name}({type} {value}, {e.type('ptr')} {places}, i32 {size}, {bools} {mask})")
            return
        place = self.put(f"getelementptr {memory}, ptr {bases[k]}, i64 {i}")
        if mask is None:
            self.do(f"store {type} {value}, ptr {place}, align {size}")
            return
        name = f"llvm.masked.store.{_mangled(type)}.p0"
        self.module.declare(name, "void", [type, "ptr", "i32", bools])
        self.do(f"call void @{name}({type} {value}, ptr {place}, i32 {size}, {bools} {mask})")

    def _gather(self, e: Lanes, k: int, indices: list[str], bases: list[str], i: str, mask: str | None) -> str:
        """Elements at indices that are values; those out of bounds are an error and read as 0."""
        access = self.nest.accesses[k]
        inside = e.constant("i1", True)
        offsets = e.constant("i64", 0)
        node = next(n for n in self.nest.nodes if n.op == "gather" and n.attr == k)
        for a, index, (extent, stride) in zip(node.args, indices, self.dims[k], strict=True):
            place = rows.cast(e, self.nest.nodes[a].dtype, "int64", index)
            wide, zero = e.splat("i64", extent), e.constant("i64", 0)
            wrapped = e.op("add", "i64", place, wide)
            place = e.select("i64", e.icmp("slt", "i64", place, zero), wrapped, place)
            inside = e.op("and", "i1", inside, e.icmp("ult", "i64", place, wide))
            offsets = e.op("add", "i64", offsets, e.op("mul", "i64", place, e.splat("i64", stride)))
        wrong = e.op("xor", "i1", inside, e.constant("i1", True))
        self._fail(e, wrong if mask is None else e.op("and", "i1", wrong, mask))
        if access.inner == "unit":
            places = ", ".join(f"i64 {lane}" for lane in range(e.width))
            here = e.op("add", "i64", e.splat("i64", i), f"<{places}>") if e.width > 1 else i
            offsets = e.op("add", "i64", offsets, e.op("mul", "i64", here, e.constant("i64", size_of(access.dtype))))
        elif access.inner == "strided":
            offsets = e.op("add", "i64", offsets, self._offsets(e, k, i))
        offsets = e.select("i64", inside, offsets, e.constant("i64", 0))
        if mask is not None:
            inside = e.op("and", "i1", inside, mask)
        memory = in_memory(access.dtype)
        if e.width == 1:
            value = self._guarded_load(memory, size_of(access.dtype), bases[k], offsets, inside)
        else:
            value = self._scattered_load(e, memory, size_of(access.dtype), bases[k], offsets, inside)
        return e.icmp("ne", "i8", value, e.constant("i8", 0)) if access.dtype == "bool" else value

    def _guarded_load(self, memory: str, size: int, base: str, offset: str, inside: str) -> str:
        """A scalar that is read only where it exists."""
        spare = self.variable(memory)
        self.do(f"store {memory} zeroinitializer, ptr {spare}")
        place = self.put(f"getelementptr i8, ptr {base}, i64 {offset}")
        source = self.put(f"select i1 {inside}, ptr {place}, ptr {spare}")
        return self.put(f"load {memory}, ptr {source}, align {size}")

    def _fail(self, e: Lanes, wrong: str) -> None:
        if e.width > 1:
            name = f"llvm.vector.reduce.or.v{e.width}i1"
            self.module.declare(name, "i1", [e.type("i1")])
            wrong = self.put(f"call i1 @{name}({e.type('i1')} {wrong})")
        bad, fine = self.fresh("bad"), self.fresh("fine")
        self.do(f"br i1 {wrong}, label %{bad}, label %{fine}")
        self.label(bad)
        self.do(f"store atomic i64 1, ptr {self.error} monotonic, align 8")
        self.do(f"br label %{fine}")
        self.label(fine)


def _mangled(type: str) -> str:
    """How a vector type is spelt in the names of intrinsic functions."""
    width, _, kind = type.strip("<>").split()
    return f"v{width}{ {'float': 'f32', 'double': 'f64'}.get(kind, kind) }"


def _width(nest: Nest, vector: int) -> int:
    """Lanes to compute at once: a register of the commonest type, two of them where the body is small."""
    lane = [n for i, n in enumerate(nest.nodes) if nest.schedule.lane[i] or nest.vertical]
    sizes = [size_of(n.dtype) for n in lane if n.dtype.startswith("float")] or [size_of(n.dtype) for n in lane] or [8]
    commonest = max(set(sizes), key=sizes.count)
    width = max(4, vector // commonest)
    # Rounds of random bits wait for one another: several vectors of them hide that. Columns that are gone through
    # several times fill lines of the cache.
    again = nest.vertical and (nest.short or nest.schedule.passes > 1)
    factor = 4 if any(n.op == "philox" for n in lane) else 2 if again or len(lane) < _SMALL else 1
    return min(factor * width, 64)

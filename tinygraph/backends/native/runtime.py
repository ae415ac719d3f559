"""What runs a plan: a table of 64-bit words, and the few functions that walk through it.

A table is a sequence of entries. Each begins with the address of the function that runs it and the number of its words;
what follows is that function's business. So a whole step of training is one foreign call.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygraph.backends.native.kernels import built
from tinygraph.backends.native.words import pointers, walker, words

__all__ = ["NEST_HEAD", "entry_points"]

#: Words before the arguments of a kernel: function, size, kernel, begin, end, how many a thread takes at once, pool.
NEST_HEAD = 7


def _nests() -> str:
    return f"""
define i64 @nest(ptr %at) {{
{pointers("%at", f=2)}
{words("%at", begin=3, end=4)}
  %args = getelementptr i64, ptr %at, i64 {NEST_HEAD}
  call void %f(ptr %args, i64 %begin, i64 %end)
  ret i64 0
}}

define i64 @stop(ptr %at) {{
{pointers("%at", error=2)}
{words("%at", rest=3)}
  %set = load i64, ptr %error
  %failed = icmp ne i64 %set, 0
  %skip = select i1 %failed, i64 %rest, i64 0
  ret i64 %skip
}}
"""


def _scan() -> str:
    return f"""
{walker("run")}
; words: 2 turns, 3 table of a turn, 4 its end, 5 how many addresses change; for each of these: word, address of the
; first row, bytes from row to row, row of the first turn, rows in a ring or 0
define i64 @scan(ptr %at) {{
entry:
{words("%at", turns=2, changes=5)}
{pointers("%at", code=3, code_end=4)}
  %first = getelementptr i64, ptr %at, i64 6
  br label %head
head:
  %turn = phi i64 [ 0, %entry ], [ %turn1, %body ]
  %more = icmp slt i64 %turn, %turns
  br i1 %more, label %change, label %done
change:
  %i = phi i64 [ 0, %head ], [ %i1, %put ]
  %c = phi ptr [ %first, %head ], [ %c1, %put ]
  %more_i = icmp slt i64 %i, %changes
  br i1 %more_i, label %place, label %body
place:
{pointers("%c", word=0)}
{words("%c", row_base=1, stride=2, start=3, ring=4)}
  %row0 = add i64 %turn, %start
  %is_ring = icmp ne i64 %ring, 0
  br i1 %is_ring, label %wrap, label %put
wrap:
  %wrapped = urem i64 %row0, %ring
  br label %put
put:
  %row = phi i64 [ %row0, %place ], [ %wrapped, %wrap ]
  %step = mul i64 %row, %stride
  %address = add i64 %row_base, %step
  store i64 %address, ptr %word
  %i1 = add i64 %i, 1
  %c1 = getelementptr i64, ptr %c, i64 5
  br label %change
body:
  call void @run(ptr %code, ptr %code_end)
  %turn1 = add i64 %turn, 1
  br label %head
done:
  ret i64 0
}}
"""


#: Words of a pool, each on a line of the cache of its own where several threads write to it.
POOL = {"generation": 0, "sleeping": 8, "inside": 16, "next": 24, "owner": 32, "open": 40, "kernel": 48, "args": 49,
        "end": 50, "step": 51}  # fmt: skip

_FUTEX, _WAIT, _WAKE, _YIELD = 202, 128, 129, 24  # on x86-64; private to the process

_SPINS = 4000


def _threads() -> str:
    """Threads that take parts of a nest.

    A worker waits for the pool's generation to change, at first in a loop, then asleep. The thread that has work fills
    in the pool, opens it, changes the generation, takes parts itself until none is left, closes the pool and waits for
    those that are inside, after a while giving up its processor, which one of them may need. Who comes late finds the
    pool closed and leaves. A thread that finds it in use by another does its work alone. Who computes which part
    changes from run to run, but not what the parts are.
    """
    p = POOL
    return f"""
declare i64 @syscall(i64, ...)
declare void @llvm.x86.sse2.pause()

define internal void @take_parts(ptr %pool) {{
entry:
{pointers("%pool", f=p["kernel"], args=p["args"])}
{words("%pool", end=p["end"], step=p["step"])}
  %next_at = getelementptr i64, ptr %pool, i64 {p["next"]}
  br label %head
head:
  %begin = atomicrmw add ptr %next_at, i64 %step monotonic
  %more = icmp slt i64 %begin, %end
  br i1 %more, label %body, label %done
body:
  %after = add i64 %begin, %step
  %short = icmp slt i64 %after, %end
  %stop = select i1 %short, i64 %after, i64 %end
  call void %f(ptr %args, i64 %begin, i64 %stop)
  br label %head
done:
  ret void
}}

define void @worker(ptr %pool) {{
entry:
  %generation_at = getelementptr i64, ptr %pool, i64 {p["generation"]}
  %sleeping_at = getelementptr i64, ptr %pool, i64 {p["sleeping"]}
  %inside_at = getelementptr i64, ptr %pool, i64 {p["inside"]}
  %open_at = getelementptr i64, ptr %pool, i64 {p["open"]}
  br label %idle
idle:
  %seen = phi i64 [ 0, %entry ], [ %now, %leave ]
  br label %spin
spin:
  %i = phi i64 [ 0, %idle ], [ %i1, %again ]
  %now = load atomic i64, ptr %generation_at seq_cst, align 8
  %changed = icmp ne i64 %now, %seen
  br i1 %changed, label %look, label %wait
wait:
  %tired = icmp sgt i64 %i, {_SPINS}
  br i1 %tired, label %sleep, label %rest
rest:
  call void @llvm.x86.sse2.pause()
  br label %again
sleep:
  %s = atomicrmw add ptr %sleeping_at, i64 1 seq_cst
  %low = trunc i64 %seen to i32
  %r = call i64 (i64, ...) @syscall(i64 {_FUTEX}, ptr %generation_at, i32 {_WAIT}, i32 %low, ptr null, ptr null, i32 0)
  %u = atomicrmw sub ptr %sleeping_at, i64 1 seq_cst
  br label %again
again:
  %i1 = add i64 %i, 1
  br label %spin
look:
  %e = atomicrmw add ptr %inside_at, i64 1 seq_cst
  %open = load atomic i64, ptr %open_at seq_cst, align 8
  %closed = icmp eq i64 %open, 0
  br i1 %closed, label %leave, label %work
work:
  call void @take_parts(ptr %pool)
  br label %leave
leave:
  %left = atomicrmw sub ptr %inside_at, i64 1 seq_cst
  br label %idle
}}

define i64 @shared_nest(ptr %at) {{
entry:
{pointers("%at", f=2, pool=6)}
{words("%at", begin=3, end=4, step=5)}
  %args = getelementptr i64, ptr %at, i64 {NEST_HEAD}
  %owner_at = getelementptr i64, ptr %pool, i64 {p["owner"]}
  %owner = cmpxchg ptr %owner_at, i64 0, i64 1 seq_cst seq_cst
  %mine = extractvalue {{ i64, i1 }} %owner, 1
  br i1 %mine, label %share, label %alone
alone:
  call void %f(ptr %args, i64 %begin, i64 %end)
  ret i64 0
share:
  %kernel_at = getelementptr i64, ptr %pool, i64 {p["kernel"]}
  %args_at = getelementptr i64, ptr %pool, i64 {p["args"]}
  %last_at = getelementptr i64, ptr %pool, i64 {p["end"]}
  %part_at = getelementptr i64, ptr %pool, i64 {p["step"]}
  %next_at = getelementptr i64, ptr %pool, i64 {p["next"]}
  %open_at = getelementptr i64, ptr %pool, i64 {p["open"]}
  %inside_at = getelementptr i64, ptr %pool, i64 {p["inside"]}
  %generation_at = getelementptr i64, ptr %pool, i64 {p["generation"]}
  %sleeping_at = getelementptr i64, ptr %pool, i64 {p["sleeping"]}
  store ptr %f, ptr %kernel_at
  store ptr %args, ptr %args_at
  store i64 %end, ptr %last_at
  store i64 %step, ptr %part_at
  store i64 %begin, ptr %next_at
  store atomic i64 1, ptr %open_at seq_cst, align 8
  %old = atomicrmw add ptr %generation_at, i64 1 seq_cst
  %asleep = load atomic i64, ptr %sleeping_at seq_cst, align 8
  %any = icmp ne i64 %asleep, 0
  br i1 %any, label %wake, label %work
wake:
  %r = call i64 (i64, ...) @syscall(i64 {_FUTEX}, ptr %generation_at, i32 {_WAKE}, i32 1024, ptr null, ptr null, i32 0)
  br label %work
work:
  call void @take_parts(ptr %pool)
  store atomic i64 0, ptr %open_at seq_cst, align 8
  br label %wait
wait:
  %turns = phi i64 [ 0, %work ], [ %turns1, %pause ], [ %turns1, %yield ]
  %left = load atomic i64, ptr %inside_at seq_cst, align 8
  %busy = icmp sgt i64 %left, 0
  br i1 %busy, label %look, label %done
look:
  %turns1 = add i64 %turns, 1
  %patient = icmp slt i64 %turns, {_SPINS}
  br i1 %patient, label %pause, label %yield
pause:
  call void @llvm.x86.sse2.pause()
  br label %wait
yield:
  %y = call i64 (i64, ...) @syscall(i64 {_YIELD})
  br label %wait
done:
  store atomic i64 0, ptr %owner_at seq_cst, align 8
  ret i64 0
}}
"""


def _entrance() -> str:
    """The call from Python: arguments are checked, addresses put into the table, and the table is run.

    ``enter(values, outputs)`` is a method of a vector of words. It gives None, and does nothing, where a value is not
    an array just as the plan expects it; otherwise whether all indices were in bounds. The words: 0 first and 1 last
    record, 2 table, 3 its end, 4 error, 5 to 7 the objects None, True and False, 8 functions to let go of Python's lock
    and 9 to take it again, or 0, 10 pairs of values that must not overlap, 11 their end,
    12 the type of arrays. A record: 0 words, 1 address of
    the tuple's slot in the arguments, 2 place in the tuple, 3 dtype, 4 dimensions, 5 flags, 6 number of addresses that
    depend on it, then the extents, then for each such address the word and the offset. A pair: place and bytes of two
    values, the first one in the tuple of values, too.
    """
    o = layout()
    give = "\n".join(
        f"""give_{name}:
  call void @Py_IncRef(ptr %{name})
  ret ptr %{name}"""
        for name in ("none", "true", "false")
    )
    return f"""
declare void @Py_IncRef(ptr)

define ptr @enter(ptr %self, ptr %args, i64 %count) {{
entry:
  %words_at = getelementptr i8, ptr %self, i64 {o.data}
  %words = load ptr, ptr %words_at
{pointers("%words", first=0, last=1, table=2, table_end=3, error=4, none=5, true=6, false=7, save=8, restore=9)}
{pointers("%words", pairs=10, pairs_end=11, array_type=12)}
  br label %head
head:
  %at = phi ptr [ %first, %entry ], [ %next, %patched ]
  %more = icmp ult ptr %at, %last
  br i1 %more, label %record, label %apart
record:
{words("%at", size=0, source=1, place=2, ndim=4, flags=5, patches=6)}
{pointers("%at", dtype=3)}
  %next = getelementptr i64, ptr %at, i64 %size
  %tuple_at = getelementptr ptr, ptr %args, i64 %source
  %tuple = load ptr, ptr %tuple_at
  %items = getelementptr i8, ptr %tuple, i64 {o.items}
  %item_at = getelementptr ptr, ptr %items, i64 %place
  %item = load ptr, ptr %item_at
  %type_at = getelementptr i8, ptr %item, i64 {o.type}
  %type = load ptr, ptr %type_at
  %is_array = icmp eq ptr %type, %array_type
  br i1 %is_array, label %array, label %give_none
array:
  %data_at = getelementptr i8, ptr %item, i64 {o.data}
  %data = load i64, ptr %data_at
  %nd_at = getelementptr i8, ptr %item, i64 {o.data + 8}
  %nd = load i32, ptr %nd_at
  %nd_wide = zext i32 %nd to i64
  %same_nd = icmp eq i64 %nd_wide, %ndim
  %descr_at = getelementptr i8, ptr %item, i64 {o.data + 40}
  %descr = load ptr, ptr %descr_at
  %same_dtype = icmp eq ptr %descr, %dtype
  %own_flags_at = getelementptr i8, ptr %item, i64 {o.data + 48}
  %own_flags = load i32, ptr %own_flags_at
  %flags_low = trunc i64 %flags to i32
  %has = and i32 %own_flags, %flags_low
  %same_flags = icmp eq i32 %has, %flags_low
  %both = and i1 %same_nd, %same_dtype
  %fits = and i1 %both, %same_flags
  %dims_at = getelementptr i8, ptr %item, i64 {o.data + 16}
  %dims = load ptr, ptr %dims_at
  br i1 %fits, label %extent, label %give_none
extent:
  %d = phi i64 [ 0, %array ], [ %d1, %extent_ok ]
  %more_d = icmp slt i64 %d, %ndim
  br i1 %more_d, label %extent_check, label %patch
extent_check:
  %have_at = getelementptr i64, ptr %dims, i64 %d
  %have = load i64, ptr %have_at
  %want_i = add i64 %d, 7
  %want_at = getelementptr i64, ptr %at, i64 %want_i
  %want = load i64, ptr %want_at
  %same = icmp eq i64 %have, %want
  br i1 %same, label %extent_ok, label %give_none
extent_ok:
  %d1 = add i64 %d, 1
  br label %extent
patch:
  %p = phi i64 [ 0, %extent ], [ %p1, %put ]
  %more_p = icmp slt i64 %p, %patches
  br i1 %more_p, label %put, label %patched
put:
  %p2 = shl i64 %p, 1
  %p7 = add i64 %p2, 7
  %p_i = add i64 %p7, %ndim
  %word_slot = getelementptr i64, ptr %at, i64 %p_i
  %word = load ptr, ptr %word_slot
  %offset_slot = getelementptr i64, ptr %word_slot, i64 1
  %offset = load i64, ptr %offset_slot
  %address = add i64 %data, %offset
  store i64 %address, ptr %word
  %p1 = add i64 %p, 1
  br label %patch
patched:
  br label %head
apart:
  %pair = phi ptr [ %pairs, %head ], [ %pair_next, %pair_fine ]
  %more_pairs = icmp ult ptr %pair, %pairs_end
  br i1 %more_pairs, label %pair_check, label %go
pair_check:
{words("%pair", left=0, left_size=1, right=2, right_size=3)}
  %values = load ptr, ptr %args
  %all = getelementptr i8, ptr %values, i64 {o.items}
  %left_slot = getelementptr ptr, ptr %all, i64 %left
  %left_item = load ptr, ptr %left_slot
  %left_data_at = getelementptr i8, ptr %left_item, i64 {o.data}
  %left_data = load i64, ptr %left_data_at
  %right_slot = getelementptr ptr, ptr %all, i64 %right
  %right_item = load ptr, ptr %right_slot
  %right_data_at = getelementptr i8, ptr %right_item, i64 {o.data}
  %right_data = load i64, ptr %right_data_at
  %left_end = add i64 %left_data, %left_size
  %right_end = add i64 %right_data, %right_size
  %before = icmp ule i64 %left_end, %right_data
  %behind = icmp ule i64 %right_end, %left_data
  %fine = or i1 %before, %behind
  %pair_next = getelementptr i64, ptr %pair, i64 4
  br i1 %fine, label %pair_fine, label %give_none
pair_fine:
  br label %apart
go:
  %keeps = icmp eq ptr %save, null
  br i1 %keeps, label %held, label %free
held:
  call void @run(ptr %table, ptr %table_end)
  br label %ran
free:
  %state = call ptr %save()
  call void @run(ptr %table, ptr %table_end)
  call void %restore(ptr %state)
  br label %ran
ran:
  %failed = load i64, ptr %error
  %wrong = icmp ne i64 %failed, 0
  br i1 %wrong, label %give_false, label %give_true
{give}
}}
"""


@dataclass(frozen=True)
class Layout:
    """Where this Python and this NumPy keep what an array object knows, in bytes from its start.

    Attributes
    ----------
    items
        The first item of a tuple.
    type
        The type of an object.
    data
        The address of an array's elements; the number of dimensions, the extents, the dtype and the flags follow.
    """

    items: int
    type: int
    data: int


@functools.cache
def layout() -> Layout:
    """Found out by looking at objects that are known.

    Raises
    ------
    RuntimeError
        Where objects are laid out in another way than any that is known.
    """
    pair = ("one", "two")
    words = _words_of(pair)
    items = next((i for i in range(len(words) - 1) if list(words[i : i + 2]) == [id(pair[0]), id(pair[1])]), -1)
    array = np.zeros((2, 3, 5), dtype="float32")
    own = _words_of(array)
    type = next((i for i, w in enumerate(own) if w == id(np.ndarray)), -1)
    data = next((i for i, w in enumerate(own) if w == array.ctypes.data), -1)
    if min(items, type, data) < 0 or data + 6 >= len(own):
        raise RuntimeError("this Python lays out its objects in a way that is not known")
    extents = ctypes.cast(own[data + 2], ctypes.POINTER(ctypes.c_int64))
    known = (own[data + 1] & 0xFFFFFFFF, own[data + 5], own[data + 6] & 0xFFFFFFFF)
    if known != (3, id(array.dtype), array.flags.num) or extents[:3] != [2, 3, 5]:
        raise RuntimeError("this NumPy lays out its arrays in a way that is not known")
    return Layout(8 * items, 8 * type, 8 * data)


def _words_of(thing: Any) -> tuple[int, ...]:
    size = sys.getsizeof(thing) // 8 if isinstance(thing, tuple) else np.ndarray.__basicsize__ // 8
    return tuple((ctypes.c_int64 * size).from_address(id(thing)))


class _Method(ctypes.Structure):
    """Python's description of a function in C."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


_FASTCALL = 0x80


@functools.cache
def _method() -> _Method:
    return _Method(b"enter", entry_points["enter"], _FASTCALL, None)


def entrance(words: Any) -> Callable[[tuple[Any, ...], tuple[Any, ...]], bool | None]:
    """The function ``enter`` of a vector of words; see ``_entrance``."""
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.restype = ctypes.py_object
    new.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    made: Callable[..., bool | None] = new(ctypes.addressof(_method()), words, None)
    return made


def _common() -> str:
    return walker("run") + _nests() + _entrance()


#: Names, and the text of a module with these functions: not every program has loops, or work for threads.
_MODULES: tuple[tuple[tuple[str, ...], Callable[[], str]], ...] = (
    (("enter", "nest", "stop"), _common),
    (("scan",), _scan),
    (("shared_nest", "worker"), _threads),
)


class _Points(dict[str, int]):
    def __missing__(self, name: str) -> int:
        names, text = next(module for module in _MODULES if name in module[0])
        self.update(zip(names, built(text(), names), strict=True))
        return self[name]


#: The addresses of the functions that entries name, and of those that Python calls; compiled when first asked for.
entry_points: dict[str, int] = _Points()

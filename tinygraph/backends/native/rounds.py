"""What runs repeated steps: a function that copies their words, moves the addresses in them on, and walks through them.

Because the words are a copy, several threads can run rounds of one repetition at the same time.
"""

from __future__ import annotations

import functools

from tinygraph.backends.native.kernels import built

__all__ = ["HEAD", "kernel"]

#: Arguments before the body: words of the body, number of addresses that move. Behind the body there are for each of
#: these the number of the word, from the body's first, and the bytes that it moves by from round to round.
HEAD = 2

_TEXT = f"""
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

define internal void @walk(ptr %code, ptr %end) {{
entry:
  br label %head
head:
  %at = phi ptr [ %code, %entry ], [ %next, %body ]
  %more = icmp ult ptr %at, %end
  br i1 %more, label %body, label %done
body:
  %f = load ptr, ptr %at
  %size_at = getelementptr i64, ptr %at, i64 1
  %size = load i64, ptr %size_at
  %skip = call i64 %f(ptr %at)
  %count = add i64 %size, %skip
  %next = getelementptr i64, ptr %at, i64 %count
  br label %head
done:
  ret void
}}

define internal void @move(ptr %words, ptr %pairs, i64 %count, i64 %rounds) {{
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %body ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %done
body:
  %k = mul i64 %i, 2
  %word_at = getelementptr i64, ptr %pairs, i64 %k
  %word = load i64, ptr %word_at
  %step_at = getelementptr i64, ptr %word_at, i64 1
  %step = load i64, ptr %step_at
  %way = mul i64 %step, %rounds
  %place = getelementptr i64, ptr %words, i64 %word
  %before = load i64, ptr %place
  %after = add i64 %before, %way
  store i64 %after, ptr %place
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}}

define void @rounds(ptr %at, i64 %begin, i64 %end) {{
entry:
  %size = load i64, ptr %at
  %count_at = getelementptr i64, ptr %at, i64 1
  %count = load i64, ptr %count_at
  %body_at = getelementptr i64, ptr %at, i64 {HEAD}
  %pairs = getelementptr i64, ptr %body_at, i64 %size
  %words = alloca i64, i64 %size
  %bytes = mul i64 %size, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %words, ptr %body_at, i64 %bytes, i1 false)
  %last = getelementptr i64, ptr %words, i64 %size
  call void @move(ptr %words, ptr %pairs, i64 %count, i64 %begin)
  br label %head
head:
  %i = phi i64 [ %begin, %entry ], [ %i1, %body ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %body, label %done
body:
  call void @walk(ptr %words, ptr %last)
  call void @move(ptr %words, ptr %pairs, i64 %count, i64 1)
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}}
"""


@functools.cache
def kernel() -> int:
    """The address of the function that runs rounds, called as kernels of nests are."""
    (address,) = built(_TEXT, ("rounds",))
    return address

"""What runs repeated steps: a function that copies their words, moves the addresses in them on, and walks through them.

Because the words are a copy, several threads can run rounds of one repetition at the same time.
"""

from __future__ import annotations

import functools

from tinygraph.backends.native.kernels import built
from tinygraph.backends.native.words import walker, words

__all__ = ["HEAD", "kernel"]

#: Arguments before the body: words of the body, number of addresses that move from round to round, number of those that
#: differ from part to part, number of rounds, rounds of a part. Behind the body there are for each of these addresses
#: the number of the word, from the body's first, and how many bytes it moves by; first for all that move, then for all
#: that differ.
HEAD = 5


_TEXT = f"""
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

{walker("walk")}
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
{words("%at", size=0, moving=1, own=2, count=3, each=4)}
  %body_at = getelementptr i64, ptr %at, i64 {HEAD}
  %pairs = getelementptr i64, ptr %body_at, i64 %size
  %twice = mul i64 %moving, 2
  %own_pairs = getelementptr i64, ptr %pairs, i64 %twice
  %words = alloca i64, i64 %size
  %last = getelementptr i64, ptr %words, i64 %size
  %bytes = mul i64 %size, 8
  br label %parts
parts:
  %p = phi i64 [ %begin, %entry ], [ %p1, %next ]
  %left = icmp slt i64 %p, %end
  br i1 %left, label %part, label %done
part:
  call void @llvm.memcpy.p0.p0.i64(ptr %words, ptr %body_at, i64 %bytes, i1 false)
  %first = mul i64 %p, %each
  %after = add i64 %first, %each
  %short = icmp slt i64 %after, %count
  %stop = select i1 %short, i64 %after, i64 %count
  call void @move(ptr %words, ptr %pairs, i64 %moving, i64 %first)
  call void @move(ptr %words, ptr %own_pairs, i64 %own, i64 %p)
  br label %head
head:
  %i = phi i64 [ %first, %part ], [ %i1, %body ]
  %more = icmp slt i64 %i, %stop
  br i1 %more, label %body, label %next
body:
  call void @walk(ptr %words, ptr %last)
  call void @move(ptr %words, ptr %pairs, i64 %moving, i64 1)
  %i1 = add i64 %i, 1
  br label %head
next:
  %p1 = add i64 %p, 1
  br label %parts
done:
  ret void
}}
"""


@functools.cache
def kernel() -> int:
    """The address of the function that runs parts of rounds, called as kernels of nests are."""
    return built(_TEXT, ["rounds"])[0]

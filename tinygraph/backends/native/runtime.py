"""What runs a plan: a table of 64-bit words, and the few functions that walk through it.

A table is a sequence of entries. Each begins with the address of the function that runs it and the number of its words;
what follows is that function's business. So a whole step of training is one foreign call.
"""

from __future__ import annotations

import functools

from tinygraph.backends.native.toolchain import target

__all__ = ["entry_points"]

#: Words before the arguments of a kernel: function, size, kernel, begin, end, grain.
NEST_HEAD = 6

_TEXT = """
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

define void @run(ptr %code, ptr %end) {
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
  %words = add i64 %size, %skip
  %next = getelementptr i64, ptr %at, i64 %words
  br label %head
done:
  ret void
}

define i64 @nest(ptr %at) {
  %f_at = getelementptr i64, ptr %at, i64 2
  %f = load ptr, ptr %f_at
  %begin_at = getelementptr i64, ptr %at, i64 3
  %begin = load i64, ptr %begin_at
  %end_at = getelementptr i64, ptr %at, i64 4
  %end = load i64, ptr %end_at
  %args = getelementptr i64, ptr %at, i64 6
  call void %f(ptr %args, i64 %begin, i64 %end)
  ret i64 0
}

define i64 @stop(ptr %at) {
  ; words: error, words to skip where it is set
  %error_at = getelementptr i64, ptr %at, i64 2
  %error = load ptr, ptr %error_at
  %set = load i64, ptr %error
  %rest_at = getelementptr i64, ptr %at, i64 3
  %rest = load i64, ptr %rest_at
  %failed = icmp ne i64 %set, 0
  %skip = select i1 %failed, i64 %rest, i64 0
  ret i64 %skip
}

define i64 @gemm(ptr %at) {
  ; words: 2 blas, 3 transa, 4 transb, 5 m, 6 n, 7 k, 8 alpha, 9 a, 10 lda, 11 b, 12 ldb, 13 beta, 14 c, 15 ldc,
  ; 16 count, 17 step of a, 18 step of b, 19 step of c, 20 alpha itself, 21 beta itself
entry:
  %f_at = getelementptr i64, ptr %at, i64 2
  %f = load ptr, ptr %f_at
  %ta = getelementptr i64, ptr %at, i64 3
  %tb = getelementptr i64, ptr %at, i64 4
  %m = getelementptr i64, ptr %at, i64 5
  %n = getelementptr i64, ptr %at, i64 6
  %k = getelementptr i64, ptr %at, i64 7
  %alpha_at = getelementptr i64, ptr %at, i64 8
  %alpha_given = load ptr, ptr %alpha_at
  %own = getelementptr i64, ptr %at, i64 20
  %none = icmp eq ptr %alpha_given, null
  %alpha = select i1 %none, ptr %own, ptr %alpha_given
  %a_at = getelementptr i64, ptr %at, i64 9
  %a0 = load ptr, ptr %a_at
  %lda = getelementptr i64, ptr %at, i64 10
  %b_at = getelementptr i64, ptr %at, i64 11
  %b0 = load ptr, ptr %b_at
  %ldb = getelementptr i64, ptr %at, i64 12
  %beta = getelementptr i64, ptr %at, i64 21
  %c_at = getelementptr i64, ptr %at, i64 14
  %c0 = load ptr, ptr %c_at
  %ldc = getelementptr i64, ptr %at, i64 15
  %count_at = getelementptr i64, ptr %at, i64 16
  %count = load i64, ptr %count_at
  %sa_at = getelementptr i64, ptr %at, i64 17
  %sa = load i64, ptr %sa_at
  %sb_at = getelementptr i64, ptr %at, i64 18
  %sb = load i64, ptr %sb_at
  %sc_at = getelementptr i64, ptr %at, i64 19
  %sc = load i64, ptr %sc_at
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %body ]
  %a = phi ptr [ %a0, %entry ], [ %a1, %body ]
  %b = phi ptr [ %b0, %entry ], [ %b1, %body ]
  %c = phi ptr [ %c0, %entry ], [ %c1, %body ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %done
body:
  call void %f(ptr %ta, ptr %tb, ptr %m, ptr %n, ptr %k, ptr %alpha, ptr %a, ptr %lda, ptr %b, ptr %ldb, ptr %beta, ptr %c, ptr %ldc)
  %i1 = add i64 %i, 1
  %a1 = getelementptr i8, ptr %a, i64 %sa
  %b1 = getelementptr i8, ptr %b, i64 %sb
  %c1 = getelementptr i8, ptr %c, i64 %sc
  br label %head
done:
  ret i64 0
}

define i64 @gemv(ptr %at) {
  ; words: 2 blas, 3 trans, 4 m, 5 n, 6 alpha, 7 a, 8 lda, 9 x, 10 incx, 11 y, 12 incy, 13 alpha itself, 14 beta itself
  %f_at = getelementptr i64, ptr %at, i64 2
  %f = load ptr, ptr %f_at
  %t = getelementptr i64, ptr %at, i64 3
  %m = getelementptr i64, ptr %at, i64 4
  %n = getelementptr i64, ptr %at, i64 5
  %alpha_at = getelementptr i64, ptr %at, i64 6
  %alpha_given = load ptr, ptr %alpha_at
  %own = getelementptr i64, ptr %at, i64 13
  %none = icmp eq ptr %alpha_given, null
  %alpha = select i1 %none, ptr %own, ptr %alpha_given
  %a_at = getelementptr i64, ptr %at, i64 7
  %a = load ptr, ptr %a_at
  %lda = getelementptr i64, ptr %at, i64 8
  %x_at = getelementptr i64, ptr %at, i64 9
  %x = load ptr, ptr %x_at
  %incx = getelementptr i64, ptr %at, i64 10
  %y_at = getelementptr i64, ptr %at, i64 11
  %y = load ptr, ptr %y_at
  %incy = getelementptr i64, ptr %at, i64 12
  %beta = getelementptr i64, ptr %at, i64 14
  call void %f(ptr %t, ptr %m, ptr %n, ptr %alpha, ptr %a, ptr %lda, ptr %x, ptr %incx, ptr %beta, ptr %y, ptr %incy)
  ret i64 0
}
"""

_NAMES = ("run", "nest", "stop", "gemm", "gemv")


@functools.cache
def entry_points() -> dict[str, int]:
    """The addresses of the functions that entries name, and of ``run``, which walks through a table."""
    made = target()
    return dict(zip(_NAMES, made.load(made.compile(_TEXT), _NAMES), strict=True))

"""Matrix products through a cuBLAS handle of our own, by ctypes.

CuPy's handle refuses to work while a stream is being captured. This one has its workspace given before, so that cuBLAS
allocates nothing, which is what captures ask for. Whether it captures has not been seen on hardware yet: where it does
not, products are launched between captured parts.
"""

from __future__ import annotations

import ctypes
import glob
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygraph.errors import BackendError
from tinygraph.program.steps import View

__all__ = ["Blas", "Gemm", "gemm_of"]

_HOST, _DEVICE = 0, 1  # where alpha and beta are
_DEFAULT_MATH, _TF32_MATH = 0, 3
_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Gemm:
    """A product in cuBLAS's terms: matrices in Fortran's order, so that ``out = x · y`` is computed as its transpose.

    Attributes
    ----------
    dtype
        ``float32`` or ``float64``.
    turned_y, turned_x
        Whether the first and the second operand, y and x, are transposed.
    columns, rows, inner
        Of ``out``, and the extent that is summed over.
    ldy, ldx, ldo
        Elements from one row (of a transposed operand: column) to the next.
    stack
        Number of products.
    steps
        Elements from one matrix of the stack to the next, of y, x and out.
    """

    dtype: str
    turned_y: bool
    turned_x: bool
    columns: int
    rows: int
    inner: int
    ldy: int
    ldx: int
    ldo: int
    stack: int
    steps: tuple[int, int, int]


def gemm_of(x: View, y: View, out: View) -> Gemm:
    """The product of two stacks of matrices.

    Raises
    ------
    BackendError
        If an extent does not fit into 32 bits.
    """
    stack, rows, inner = x.shape
    columns = y.shape[2]
    turned_x, ldx = _layout(x)
    turned_y, ldy = _layout(y)
    ldo = max(out.strides[1], columns, 1)
    if max(rows, columns, inner, ldx, ldy, ldo, stack) > _LIMIT:
        raise BackendError("a matrix is too large for cuBLAS", actual=f"{x.shape} times {y.shape}")
    steps = (y.strides[0], x.strides[0], out.strides[0])
    return Gemm(out.dtype, turned_y, turned_x, columns, rows, inner, ldy, ldx, ldo, stack, steps)


def _layout(view: View) -> tuple[bool, int]:
    """Whether columns rather than rows lie side by side, and the distance from one to the next."""
    _, rows, columns = view.shape
    down, across = view.strides[1:]
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return False, max(down if rows > 1 else columns, columns, 1)
    return True, max(across if columns > 1 else rows, rows, 1)


class Blas:
    """A cuBLAS handle.

    Parameters
    ----------
    tf32
        Whether float32 products may round their operands to TF32 (10 bits of fraction).
    """

    def __init__(self, tf32: bool = False) -> None:
        self._library = _library()
        self._handle = ctypes.c_void_p()
        self._check(self._library.cublasCreate_v2(ctypes.byref(self._handle)))
        self._check(self._library.cublasSetMathMode(self._handle, _TF32_MATH if tf32 else _DEFAULT_MATH))

    def _check(self, status: int) -> None:
        if status:
            raise BackendError(f"cuBLAS failed with status {status}")

    def use(self, stream: int, workspace: int, size: int) -> None:
        """Work on a stream, with a workspace; setting the stream alone would take the workspace away."""
        self._check(self._library.cublasSetStream_v2(self._handle, ctypes.c_void_p(stream)))
        self._check(
            self._library.cublasSetWorkspace_v2(self._handle, ctypes.c_void_p(workspace), ctypes.c_size_t(size))
        )

    def multiply(self, gemm: Gemm, y: int, x: int, out: int, alpha: Any, beta: float, on_device: int = 0) -> None:
        """``out = alpha · x · y + beta · out``; with ``on_device`` alpha and beta are addresses there."""
        kind = ctypes.c_float if gemm.dtype == "float32" else ctypes.c_double
        letter = "S" if gemm.dtype == "float32" else "D"
        self._check(self._library.cublasSetPointerMode_v2(self._handle, _DEVICE if on_device else _HOST))
        first: Any = ctypes.c_void_p(alpha) if on_device else ctypes.byref(kind(alpha))
        second: Any = ctypes.c_void_p(on_device) if on_device else ctypes.byref(kind(beta))
        sizes = (gemm.columns, gemm.rows, gemm.inner)
        flags = (int(gemm.turned_y), int(gemm.turned_x))
        a, b, c = ctypes.c_void_p(y), ctypes.c_void_p(x), ctypes.c_void_p(out)
        if gemm.stack == 1:
            call = getattr(self._library, f"cublas{letter}gemm_v2")
            status = call(self._handle, *flags, *sizes, first, a, gemm.ldy, b, gemm.ldx, second, c, gemm.ldo)
        else:
            call = getattr(self._library, f"cublas{letter}gemmStridedBatched")
            sy, sx, so = map(ctypes.c_longlong, gemm.steps)
            operands = (first, a, gemm.ldy, sy, b, gemm.ldx, sx, second, c, gemm.ldo, so)
            status = call(self._handle, *flags, *sizes, *operands, gemm.stack)
        self._check(status)


def _library() -> Any:
    """cuBLAS, as CuPy's ``[ctk]`` brings it, as the loader finds it, or from a CUDA toolkit."""
    paths: list[str] = []
    package = importlib.util.find_spec("nvidia")
    for root in package.submodule_search_locations or () if package is not None else ():
        for pattern in ("cu*/lib", "cublas/lib"):
            paths += sorted(map(str, Path(root).glob(f"{pattern}/libcublas.so*")), reverse=True)
    paths += ["libcublas.so.13", "libcublas.so.12", "libcublas.so"]
    toolkit = os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    paths += sorted(glob.glob(f"{toolkit}/lib64/libcublas.so*"))
    wrong = ""
    for path in paths:
        try:
            return ctypes.CDLL(path)
        except OSError as err:
            wrong = str(err)
    raise BackendError("the cuda backend needs cuBLAS", actual=wrong, hint="pip install nvidia-cublas")

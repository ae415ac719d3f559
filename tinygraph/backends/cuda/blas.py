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
_DISALLOW_REDUCED_PRECISION_REDUCTION = 16
_COMPUTE_32F, _COMPUTE_64F, _COMPUTE_32F_FAST_TF32 = 68, 70, 77
_DEFAULT_ALGORITHM = -1
_LIMIT = 2**31 - 1

#: dtype -> cuBLAS's number of it, what it is added up in, and the type of alpha and beta.
_KINDS: dict[str, tuple[int, int, Any]] = {
    "float16": (2, _COMPUTE_32F, ctypes.c_float),
    "bfloat16": (14, _COMPUTE_32F, ctypes.c_float),
    "float32": (0, _COMPUTE_32F, ctypes.c_float),
    "float64": (1, _COMPUTE_64F, ctypes.c_double),
}


@dataclass(frozen=True)
class Gemm:
    """A product in cuBLAS's terms: matrices in Fortran's order, so that ``out = x · y`` is computed as its transpose.

    Attributes
    ----------
    dtype
        Of x and y: ``float16``, ``bfloat16``, ``float32`` or ``float64``. Products of the first two are added up in
        float32, and alpha and beta are float32 numbers.
    into
        The dtype of out: the same, or float32 for the first two.
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
    into: str
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
    """The product of two stacks of matrices."""
    stack, rows, inner = x.shape
    columns = y.shape[2]
    turned_x, ldx = _layout(x)
    turned_y, ldy = _layout(y)
    ldo = max(out.strides[1], columns, 1)
    steps = (y.strides[0], x.strides[0], out.strides[0])
    return Gemm(x.dtype, out.dtype, turned_y, turned_x, columns, rows, inner, ldy, ldx, ldo, stack, steps)


def _layout(view: View) -> tuple[bool, int]:
    """Whether columns rather than rows lie side by side, and the distance from one to the next."""
    _, rows, columns = view.shape
    down, across = view.strides[1:]
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return False, max(down if rows > 1 else columns, columns, 1)
    return True, max(across if columns > 1 else rows, rows, 1)


class Blas:
    """A cuBLAS handle.

    All products go through ``cublasGemmEx`` and ``cublasGemmStridedBatchedEx``, which take the precision of each call
    as an argument: the handle's math mode stays as it is, and says only that float16 products may not be added up in
    float16 between the parts of a product that is split.

    Parameters
    ----------
    tf32
        Whether float32 products may round their operands to TF32 (10 bits of fraction).
    library
        cuBLAS; by default what is found on this machine.

    Raises
    ------
    BackendError
        If there is no cuBLAS, or it cannot make a handle.
    """

    def __init__(self, tf32: bool = False, library: Any = None) -> None:
        self._library = _library() if library is None else library
        self._tf32 = tf32
        self._handle = ctypes.c_void_p()
        #: cuBLAS 12 and later have functions whose integers are of 64 bits.
        self._wide = hasattr(self._library, "cublasGemmEx_64")
        self._gemm, self._stacked = _functions(self._library, self._wide)
        self._check(self._library.cublasCreate_v2(ctypes.byref(self._handle)))
        self._check(self._library.cublasSetMathMode(self._handle, _DISALLOW_REDUCED_PRECISION_REDUCTION))

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
        """``out = alpha · x · y + beta · out``.

        Parameters
        ----------
        gemm
            Sizes, flags and dtype.
        y, x, out
            Addresses.
        alpha, beta
            Numbers, which a graph that is being captured keeps as they are.
        on_device
            Where it is not 0, the address of beta on the device, and ``alpha`` is that of alpha: both are read whenever
            the product is made, also by a captured graph.

        Raises
        ------
        BackendError
            If an extent does not fit into 32 bits and cuBLAS is older than 12, or if cuBLAS fails.
        """
        sizes = (gemm.columns, gemm.rows, gemm.inner)
        if not self._wide and max(*sizes, gemm.ldx, gemm.ldy, gemm.ldo, gemm.stack) > _LIMIT:
            raise BackendError(
                "a matrix is too large for this cuBLAS",
                expected=f"extents and distances of rows up to {_LIMIT}",
                actual=str(gemm),
                hint="cuBLAS 12 and later multiply larger ones",
            )
        kind, compute, scalar = _KINDS[gemm.dtype]
        into = _KINDS[gemm.into][0]
        if self._tf32 and gemm.dtype == "float32":
            compute = _COMPUTE_32F_FAST_TF32
        self._check(self._library.cublasSetPointerMode_v2(self._handle, _DEVICE if on_device else _HOST))
        first: Any = ctypes.c_void_p(alpha) if on_device else ctypes.byref(scalar(alpha))
        second: Any = ctypes.c_void_p(on_device) if on_device else ctypes.byref(scalar(beta))
        head = (self._handle, int(gemm.turned_y), int(gemm.turned_x), *sizes, first)
        if gemm.stack == 1:
            operands = (y, kind, gemm.ldy, x, kind, gemm.ldx, second, out, into, gemm.ldo)
            self._check(self._gemm(*head, *operands, compute, _DEFAULT_ALGORITHM))
        else:
            sy, sx, so = gemm.steps
            strided = (y, kind, gemm.ldy, sy, x, kind, gemm.ldx, sx, second, out, into, gemm.ldo, so)
            self._check(self._stacked(*head, *strided, gemm.stack, compute, _DEFAULT_ALGORITHM))


def _functions(library: Any, wide: bool) -> tuple[Any, Any]:
    """What makes a product, and what makes a stack of them, with the types of their arguments."""
    flag, place, step = ctypes.c_int, ctypes.c_void_p, ctypes.c_longlong
    size = ctypes.c_int64 if wide else ctypes.c_int
    ending = "_64" if wide else ""
    gemm = getattr(library, f"cublasGemmEx{ending}")
    stacked = getattr(library, f"cublasGemmStridedBatchedEx{ending}")
    head: list[Any] = [place, flag, flag, size, size, size, place]
    matrix: list[Any] = [place, flag, size]
    gemm.argtypes = [*head, *matrix, *matrix, place, *matrix, flag, flag]
    matrix = [*matrix, step]
    stacked.argtypes = [*head, *matrix, *matrix, place, *matrix, size, flag, flag]
    return gemm, stacked


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

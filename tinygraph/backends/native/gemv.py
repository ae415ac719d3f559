"""Products of a matrix with a vector: which kernel computes them, and from what."""

from __future__ import annotations

import functools
from typing import NamedTuple

from tinygraph.backends.native.gemm import tiles
from tinygraph.backends.native.gemv_text import FIELDS, GROUP, PANEL, vector_text
from tinygraph.backends.native.kernels import built
from tinygraph.program.steps import Product, View

__all__ = ["FIELDS", "Form", "form", "kernel", "units"]


class Form(NamedTuple):
    """A product with a vector.

    Attributes
    ----------
    name
        ``dots`` or ``sums``, the kernel.
    matrix, vector
        Its operands.
    m, n
        Rows and columns of the matrix as it lies in memory.
    down, x_step, y_step
        Elements from row to row, and from number to number of the vector and of the result.
    """

    name: str
    matrix: View
    vector: View
    m: int
    n: int
    down: int
    x_step: int
    y_step: int


def form(product: Product) -> Form | None:
    """How a product is computed with a vector as one operand; None where there is none, or where it lies otherwise."""
    x, y, out = product.x, product.y, product.out
    stack, rows, inner = x.shape
    columns = y.shape[2]
    if stack != 1 or 1 not in (rows, columns):
        return None
    # As matrix · vector: the matrix's rows and columns, with their strides, and those of vector and result.
    if columns == 1:
        matrix, vector, m, (down, across), x_step, y_step = x, y, rows, x.strides[1:], y.strides[1], out.strides[1]
    else:
        matrix, vector, m, (across, down), x_step, y_step = y, x, columns, y.strides[1:], x.strides[2], out.strides[2]
    if (across == 1 or inner == 1) and (x_step == 1 or inner == 1):
        return Form("dots", matrix, vector, m, inner, down, x_step, y_step)
    if (down == 1 or m == 1) and (y_step == 1 or m == 1):
        return Form("sums", matrix, vector, inner, m, across, x_step, y_step)
    return None


def units(form: Form, dtype: str) -> int:
    """What the parts of a product count."""
    if form.name == "dots":
        return -(-form.m // GROUP)
    return -(-form.n // (PANEL * tiles(dtype).lanes))


@functools.cache
def _kernels(dtype: str) -> dict[str, int]:
    names = ("dots", "sums")
    return dict(zip(names, built(vector_text(tiles(dtype)), names), strict=True))


def kernel(name: str, dtype: str) -> int:
    """The address of a function that computes parts of a product, called as kernels of nests are."""
    return _kernels(dtype)[name]

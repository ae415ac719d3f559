"""Theano's module of scalars."""

from tinygraph.tensor import continuous_dtypes, discrete_dtypes, float_dtypes, int_dtypes, uint_dtypes
from tinygraph.types import promote as upcast

__all__ = ["continuous_dtypes", "discrete_dtypes", "float_dtypes", "int_dtypes", "uint_dtypes", "upcast"]

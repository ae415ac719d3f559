"""The older path to pooling."""

from tinygraph.ops.pool import max_pool_2d_same_size
from tinygraph.ops.pool import pool_2d as max_pool_2d

__all__ = ["max_pool_2d", "max_pool_2d_same_size"]

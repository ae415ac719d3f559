"""Random numbers as functions of the state of a stream."""

from tinygraph.ops.choosing import (
    choice,
    choice_of_rows,
    multinomial,
    multinomial_wo_replacement,
    permutation,
    shuffle_row_elements,
)
from tinygraph.ops.random import (
    bernoulli,
    beta,
    binomial,
    exponential,
    gamma,
    gumbel,
    normal,
    poisson,
    random_integers,
    truncated_normal,
    uniform,
)
from tinygraph.ops.samplers import ParameterError

__all__ = [
    "ParameterError",
    "bernoulli",
    "beta",
    "binomial",
    "choice",
    "choice_of_rows",
    "exponential",
    "gamma",
    "gumbel",
    "multinomial",
    "multinomial_wo_replacement",
    "normal",
    "permutation",
    "poisson",
    "random_integers",
    "shuffle_row_elements",
    "truncated_normal",
    "uniform",
]

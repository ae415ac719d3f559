"""Theano's module of activations and losses: every name of ``tensor.nnet``."""

from tinygraph.tensor.nnet import *  # noqa: F403
from tinygraph.tensor.nnet import __all__  # noqa: F401

"""Theano's module of activations and losses: every name of ``tensor.nnet``."""

from tinygraph.tensor.nnet import *  # noqa: F403

"""Theano's module of batch normalisation."""

from tinygraph.ops.normalise import batch_normalization, batch_normalization_test, batch_normalization_train

__all__ = ["batch_normalization", "batch_normalization_test", "batch_normalization_train"]

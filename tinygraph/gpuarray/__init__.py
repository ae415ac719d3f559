"""Theano's library of arrays on a GPU. It plays no part here, and a program that asks finds it inactive."""

from tinygraph.gpuarray import dnn

__all__ = ["dnn", "pygpu_activated"]

pygpu_activated = False

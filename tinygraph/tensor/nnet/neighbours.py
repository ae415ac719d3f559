"""Theano's path to neighbourhoods of images."""

from tinygraph.ops.neighbours import images2neibs, neibs2images

__all__ = ["images2neibs", "neibs2images"]

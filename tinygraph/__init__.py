"""Reverse-mode automatic differentiation on computational graphs, in the way of Theano."""

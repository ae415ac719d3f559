"""Theano's module of modes."""

from tinygraph.modes import FAST_COMPILE, FAST_RUN, Mode, get_default_mode, get_mode, predefined_modes

__all__ = ["FAST_COMPILE", "FAST_RUN", "Mode", "get_default_mode", "get_mode", "predefined_modes"]

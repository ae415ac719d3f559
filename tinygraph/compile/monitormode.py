"""Theano's module of the mode that shows every step."""

from tinygraph.diagnose.monitor import MonitorMode, detect_nan

__all__ = ["MonitorMode", "detect_nan"]

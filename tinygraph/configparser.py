"""Theano's module of settings."""

from tinygraph.config import Config as TheanoConfigParser
from tinygraph.config import config

change_flags = config.change_flags

__all__ = ["TheanoConfigParser", "change_flags", "config"]

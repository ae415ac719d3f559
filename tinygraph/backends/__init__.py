"""From a Program to something that can be called; each module knows one device or code generator."""

from tinygraph.backends.observer import Observer, Observers
from tinygraph.backends.reference import ReferenceExecutable

__all__ = ["Observer", "Observers", "ReferenceExecutable"]

"""The first wrong number, values on the way, and modes that check what runs."""

from tinygraph.diagnose.nanguard import NanGuardError, NanGuardMode
from tinygraph.diagnose.report import WrongNumber, why_nan
from tinygraph.diagnose.values import example, trace
from tinygraph.graph import services

__all__ = ["NanGuardError", "NanGuardMode", "WrongNumber", "example", "trace", "why_nan"]

services.provide("trace", trace)
services.provide("NanGuardMode", NanGuardMode)

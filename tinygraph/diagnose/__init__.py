"""The first wrong number, values on the way, and modes that check what runs."""

from tinygraph.diagnose.debug import DebugMode, DebugModeError
from tinygraph.diagnose.monitor import MonitorMode
from tinygraph.diagnose.nanguard import NanGuardError, NanGuardMode
from tinygraph.diagnose.report import WrongNumber, why_nan
from tinygraph.diagnose.values import example, trace
from tinygraph.graph import services

__all__ = [
    "DebugMode",
    "DebugModeError",
    "MonitorMode",
    "NanGuardError",
    "NanGuardMode",
    "WrongNumber",
    "example",
    "trace",
    "why_nan",
]

services.provide("DebugMode", DebugMode)
services.provide("NanGuardMode", NanGuardMode)
services.provide("trace", trace)

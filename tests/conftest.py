"""Settings of a test run.

``HYPOTHESIS_PROFILE`` chooses how thoroughly properties are tested: ``quick`` (the default), ``ci`` (as quick, with
the same examples every time) or ``long``, which ``TINYGRAPH_LONG=1`` chooses, too.
"""

import os

from hypothesis import HealthCheck, settings

# Read when tinygraph is imported, here and in processes that tests start: every Program is checked by its own rules.
os.environ["TINYGRAPH_VERIFY_PROGRAMS"] = "yes"

LONG = os.environ.get("TINYGRAPH_LONG", "") not in ("", "0")

# Compiling takes as long as it takes; what is slow to draw is a zero-size or broadcasting set of shapes.
_common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.register_profile("quick", _common, max_examples=25)
settings.register_profile("ci", _common, max_examples=25, derandomize=True)
settings.register_profile("long", _common, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "long" if LONG else "quick"))

"""How hard laws are tried: a few fixed examples in the suite, twenty times as many new ones with HYPOTHESIS_PROFILE=search."""

import os

from hypothesis import HealthCheck, settings


def law(examples: int) -> settings:
    """Settings for a law that the suite tries with so many examples."""
    more = 20 if os.environ.get("HYPOTHESIS_PROFILE") == "search" else 1
    return settings(max_examples=more * examples, suppress_health_check=list(HealthCheck))

"""A suite that any subscriber, in any language, can run against itself: docs/subscribing.md.

python -m services.core.subscriber.conformance --help
"""

from .in_process import InProcess
from .scenarios import SCENARIOS, Scenario
from .suite import Outcome, run_suite
from .under_test import Effect, Guarantee, Member, Surroundings, UnderTest

__all__ = [
    "SCENARIOS",
    "Effect",
    "Guarantee",
    "InProcess",
    "Member",
    "Outcome",
    "Scenario",
    "Surroundings",
    "UnderTest",
    "run_suite",
]

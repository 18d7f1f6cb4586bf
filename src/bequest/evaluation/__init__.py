"""Did it really help? The race of arms, and the gain over from scratch with its interval."""

from bequest.evaluation.gain import estimate_gain, judge
from bequest.evaluation.jobs import Arm, Job, JobResult
from bequest.evaluation.race import RaceResult, race

__all__ = [
    "Arm",
    "Job",
    "JobResult",
    "RaceResult",
    "estimate_gain",
    "judge",
    "race",
]

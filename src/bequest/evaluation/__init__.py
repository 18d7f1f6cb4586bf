"""Did it really help? The race of arms, and the gain over from scratch with its interval."""

from bequest.evaluation.candidates import Candidate
from bequest.evaluation.curves import Until
from bequest.evaluation.gain import estimate_gain, judge
from bequest.evaluation.held_out import compare_on_test
from bequest.evaluation.jobs import Arm
from bequest.evaluation.labels_needed import labels_needed
from bequest.evaluation.labels_saved import labels_saved
from bequest.evaluation.race import RaceResult, race

__all__ = [
    "Arm",
    "Candidate",
    "RaceResult",
    "Until",
    "compare_on_test",
    "estimate_gain",
    "judge",
    "labels_needed",
    "labels_saved",
    "race",
]

from .core.outcome import Outcome as Outcome
from .core.outcome import Verdict as Verdict
from .core.task import Task as Task

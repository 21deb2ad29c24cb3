"""When and why a run stops, when it saves its state, and what it does when its numbers go bad.

Nothing here knows the loop or the results file: the simulation asks after each iteration.
"""

from pvmc.runtime.checkpoint_policy import CheckpointPolicy, CheckpointSpec
from pvmc.runtime.convergence import Convergence, ConvergenceSpec
from pvmc.runtime.guard import Guard, Trouble, spectrum_bounds
from pvmc.runtime.limits import FoundLimit, TimeLimit, TimeSpec, find_time_limit, parse_duration
from pvmc.runtime.retry import STATES_KEPT, Retry, Rewind
from pvmc.runtime.signals import Signals
from pvmc.runtime.stop import STOP_FILE, Decision, StopReason, StopWatcher
from pvmc.runtime.stuck_walkers import StuckWalkers, WalkerWatch

__all__ = [
    "STATES_KEPT",
    "STOP_FILE",
    "CheckpointPolicy",
    "CheckpointSpec",
    "Convergence",
    "ConvergenceSpec",
    "Decision",
    "FoundLimit",
    "Guard",
    "Retry",
    "Rewind",
    "Signals",
    "StopReason",
    "StopWatcher",
    "StuckWalkers",
    "TimeLimit",
    "TimeSpec",
    "Trouble",
    "WalkerWatch",
    "find_time_limit",
    "parse_duration",
    "spectrum_bounds",
]

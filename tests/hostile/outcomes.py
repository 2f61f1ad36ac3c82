"""What became of one hostile call: a right result, an error of ours, or one of five failures."""

import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

RIGHT, REFUSED = "right", "our error"
#: What counts as a failure.
FOREIGN, QUIET, REFUSED_VALID = "foreign error", "number not finite", "valid input refused"
SLOW, GREEDY = "too slow", "too much memory"
GOOD = (RIGHT, REFUSED)

#: CPU time of a case, s, and growth of its address space, bytes.
TIME_LIMIT, MEMORY_LIMIT = 60.0, 2 * 2**30
#: A fill value; no result of honest data is larger.
ABSURD = 1e30


class Outcome(NamedTuple):
    """The outcome of a case, and the words of the error or of what is wrong."""

    kind: str
    text: str = ""


class _OutOfTime(BaseException):
    """Not an Exception, so that nothing on the way can take it for its own."""


def _stop(*_: Any) -> None:
    raise _OutOfTime


def attempt(call: Callable[[], Any], *, valid: bool = False) -> Outcome:
    """Run one case under its limits.

    Parameters
    ----------
    call : returns the numbers that the call vouches for, in arrays or lists of them.
    valid : the input is good, only laid out in an odd way: to refuse it is a failure.
    """
    from neurornn._core.errors import ThreePartError

    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    before = signal.signal(signal.SIGVTALRM, _stop)
    began = time.process_time()
    try:
        resource.setrlimit(
            resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_LIMIT, limits[1])
        )
        signal.setitimer(signal.ITIMER_VIRTUAL, TIME_LIMIT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = call()
    except ThreePartError as error:
        if not all(str(p).strip() for p in (error.came, error.needed, error.remedy)):
            return Outcome(FOREIGN, f"a part is empty: {error}")
        return Outcome(REFUSED_VALID if valid else REFUSED, f"{type(error).__name__}: {error}")
    except _OutOfTime:
        return Outcome(SLOW, f"more than {TIME_LIMIT:g} s")
    except MemoryError as error:
        return Outcome(GREEDY, str(error))
    except Exception as error:
        if "not enough memory" in str(error) or "alloc" in str(error):
            return Outcome(GREEDY, str(error))
        last = [f for f in traceback.extract_tb(error.__traceback__) if "neurornn" in f.filename]
        where = f" at {last[-1].filename.split('neurornn/')[-1]}:{last[-1].lineno}" if last else ""
        return Outcome(FOREIGN, f"{type(error).__name__}: {str(error)[:160]}{where}")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)
    if time.process_time() - began > TIME_LIMIT:
        return Outcome(SLOW, f"{time.process_time() - began:.0f} s")
    for k, values in enumerate(found or ()):
        numbers = np.asarray(values, dtype=float)
        odd = ~(np.abs(numbers) < ABSURD)
        if odd.any():
            return Outcome(QUIET, f"{int(odd.sum())} of result {k}, e.g. {numbers[odd].flat[0]}")
    return Outcome(RIGHT)

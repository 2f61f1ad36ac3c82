from . import calcium as calcium
from . import compare as compare
from . import data as data
from . import decode as decode
from . import dynamics as dynamics
from . import io as io
from . import koopman as koopman
from . import models as models
from . import plot as plot
from . import sequences as sequences
from . import simulate as simulate
from . import spikes as spikes
from . import training as training
from ._core.report import cite as cite
from .io import fetch as fetch
from .io import load as load
from .io import open as open
from .training import fit as fit

__version__: str

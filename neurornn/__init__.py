"""neurornn: recurrent models of neural and sequence data whose weights are time constants."""

from neurornn._core.rooms import house

__getattr__, __dir__, __all__ = house(__name__, __file__)
__version__ = "0.1.0.dev0"

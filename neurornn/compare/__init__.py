"""One league table: recurrent networks, linear and memoryless accounts on the same split."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"table": ["League", "league"]}
)

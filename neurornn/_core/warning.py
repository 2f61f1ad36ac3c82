"""Warnings that point at the line of the user, however deep in the package they arise."""

import sys
import warnings


def warn_user(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the nearest line outside the package.

    Parameters
    ----------
    text : what is told.
    category : of the warning.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("neurornn."):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)

"""What a fitted model does: fixed points, attractors with names, Lyapunov spectra, regimes."""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "basin_map": ["Basins", "basins"],
        "boundary": ["basin_boundary"],
        "attractors": ["Attractor", "classify_attractor"],
        "continuation": ["BifurcationDiagram", "continue_fixed_points"],
        "fixed_points": ["find_fixed_points"],
        "point_table": ["FixedPoints"],
        "readings": ["find_slow_points", "saddle_connections", "transient_growth"],
        "uncertainty": ["point_intervals"],
        "lyapunov": ["LyapunovSpectrum", "lyapunov_spectrum"],
        "monitor": ["DynamicsMonitor"],
    },
)

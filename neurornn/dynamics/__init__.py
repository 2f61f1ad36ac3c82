"""What a fitted model does: fixed points, attractors with names, Lyapunov spectra, regimes."""

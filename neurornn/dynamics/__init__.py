"""What a fitted model does: fixed points, continuation, attractors with names, Lyapunov spectra, regimes."""

"""Spike trains: point processes, goodness of fit, population time constants, latent dynamics."""

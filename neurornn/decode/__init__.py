"""Decoders for the rig: Wiener, Kalman, place, recurrent; streams that equal the batch bin by bin; scores."""

"""Decoders for the rig: Wiener, Kalman, place, recurrent; streams equal to the batch; scores."""

"""Decoders for the rig: Wiener, Kalman, place, recurrent; streams equal to the batch; scores."""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "cascade": ["WienerCascade"],
        "closed_loop": ["closed_loop_scores", "intended_velocity", "run_closed_loop"],
        "dropping": ["neuron_dropping"],
        "kalman": ["KalmanFilter"],
        "place": ["PlaceDecoder"],
        "recurrent": ["RecurrentClassifier", "RecurrentDecoder"],
        "scores": ["fitts_bit_rate", "movement_scores", "place_errors", "target_scores"],
        "stream": ["Stream"],
        "target": ["TargetDecoder"],
        "wiener": ["RidgeDecoder", "WienerFilter"],
    },
)

"""The linear account: modes with intervals, PyDMD fronts, conserved quantities, forecasts.

This room never imports torch.
"""

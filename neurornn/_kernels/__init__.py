"""The hot loops and nothing else, compiled by numba: filters, exact L0 segmentation, projections.

Functions take contiguous float64 arrays that were checked by their callers.
"""

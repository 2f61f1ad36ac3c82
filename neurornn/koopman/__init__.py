"""The linear account: modes with intervals, established methods through PyDMD, conserved quantities, forecasts.

This room never imports torch."""

"""What every result promises about the numbers it tells, checked against its own arrays."""

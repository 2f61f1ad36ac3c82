"""What every room stands on: checks, errors, intervals, jobs, reports, random numbers, units."""

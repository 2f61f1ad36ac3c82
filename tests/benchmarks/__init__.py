"""Benchmarks: run as ``python -m tests.benchmarks``; never collected by pytest."""

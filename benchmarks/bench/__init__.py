"""Benchmarks: what is measured, against whom, and the report."""

"""Benchmarks: what is measured, against which systems, and the report."""

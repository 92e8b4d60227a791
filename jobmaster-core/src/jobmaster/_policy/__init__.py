"""Decisions as pure functions: no I/O, no clock of their own, the same answer for the same input."""

"""Texts that people see: what is shown, and how."""

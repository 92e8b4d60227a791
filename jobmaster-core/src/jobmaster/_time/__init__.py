"""Spans and moments as users give them."""

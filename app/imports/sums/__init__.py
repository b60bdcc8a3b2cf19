"""Exact sums by campaign and day, and the checks on them."""

"""Reads spend from ad platforms, pauses and enables campaigns on them, and stores what they confirm."""

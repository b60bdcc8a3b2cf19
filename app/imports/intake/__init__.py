"""Imports: plan of the changes, commit in batches, history, undo."""

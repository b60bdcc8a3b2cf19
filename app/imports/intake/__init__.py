"""What a reading would change, its commit in batches, the history of imports, and undo."""

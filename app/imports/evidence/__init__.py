"""What the cells of a table prove, and the decisions that follow from it."""

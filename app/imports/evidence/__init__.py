"""Evidence from the cells of a table, and the decisions that follow from it."""

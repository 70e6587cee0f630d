"""The model as a value, and beam search."""

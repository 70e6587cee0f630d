"""Source and target contributions: how much of each word comes from which words that are read."""

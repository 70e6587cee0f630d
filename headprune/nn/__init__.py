"""The model as a function: gates, layers, the Transformer, and what it costs."""

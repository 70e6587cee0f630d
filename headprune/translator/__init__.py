"""The model as a value, beam search, and sampling."""

"""Fewer heads: the cut, and the proof that it changed nothing."""

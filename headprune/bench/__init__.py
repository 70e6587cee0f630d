"""Timing of training and translation."""

"""Runs from models of other programs."""

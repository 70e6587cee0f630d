"""Experiment configs: each file's docstring is its record (command, machine, time, result)."""

"""Measurements of the package on the user's machine: memory, time and precision over depth.

Every figure of memory comes from a fresh process; times are medians of alternating repetitions.
"""

"""Measurements of the package on the user's machine: memory, time and precision over depth.

Every memory figure comes from a fresh process. Times are medians of repetitions in which the contenders take turns.
"""

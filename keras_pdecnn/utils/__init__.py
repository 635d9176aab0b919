"""Utilities that have nothing to do with differential equations: checks of arguments, files, archives, tables."""

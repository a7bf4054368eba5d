"""Measures of trained systems, each for any system and any observed subset."""

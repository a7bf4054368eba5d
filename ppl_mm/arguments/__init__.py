"""Checks of the arguments of public functions: their kinds, and the words for them."""

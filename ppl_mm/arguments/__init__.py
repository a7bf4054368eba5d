"""Checks of the arguments of public functions, and the wording of the error messages."""

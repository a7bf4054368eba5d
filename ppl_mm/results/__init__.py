"""The results that measures return: numbers, tables, data frames, and plots."""

"""What measures return: numbers, tables, data frames, and plots."""

"""A batch of rows: its values, its masks, and the plates of terms and strata."""

"""Published files of data sets: where they are and how to find them.

Neither torch nor NumPy is needed, so ``ppl-mm data list`` answers at once.
"""

"""Log-likelihoods and their error: importance sampling, annealing, and bounds."""

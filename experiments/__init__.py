"""The papers' experiments, one file a paper."""

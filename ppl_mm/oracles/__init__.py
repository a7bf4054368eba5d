"""Networks that measures use: classifiers, feature extractors, and sentence embeddings."""

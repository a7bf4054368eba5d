"""The papers' experiments, one folder a paper."""

from ppl_mm.experiments.earlier_names import install

install()

"""Pyro programs of a batch: their base class, their handlers, and what they condition on."""

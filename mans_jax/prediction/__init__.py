"""Answers from a trained run: the k best by label, each with a probability."""

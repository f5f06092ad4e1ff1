"""A trained run in the forms of other programs: vectors, TensorBoard's projector, and compiled functions."""

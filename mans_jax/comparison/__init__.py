"""A grid of samplers and score functions, trained on equal terms with several seeds, and what came of it."""

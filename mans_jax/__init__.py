"""Multi-modal knowledge graph embedding in JAX, with negative sampling as composable pure functions."""

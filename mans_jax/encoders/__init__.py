"""Texts, images and numeric facts to features of entities."""

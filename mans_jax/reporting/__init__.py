"""The page that shows a trained run: what is gathered for it, its plots, and the page itself."""

"""What a trained model is judged by, one file a task."""


class Unserved(Exception):
    """A graph, or a split of it, cannot serve a task; the message says why."""

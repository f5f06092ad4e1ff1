"""The published graphs as a dataset of TensorFlow Datasets, in the layout that its `tfds build` expects."""

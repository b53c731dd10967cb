"""Translation of texts with a bundle of the task `translation`."""

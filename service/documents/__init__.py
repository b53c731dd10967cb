"""Documents: the texts of a file as segments, and the file with their translations. One file per format."""

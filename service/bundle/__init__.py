"""The bundle: its manifest, its files, its golden answers."""

"""Models by name: loaded, checked with golden inputs and replaced while the service runs."""

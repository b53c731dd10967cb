"""Checks of more than one machine, which `make scale-test` runs and CI does not: alerts, charts and a Ray cluster."""

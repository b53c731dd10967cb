"""HTTP: one file per family of routes. Errors get their statuses in errors.py."""

"""HTTP: one file per family of routes, schemas beside them, statuses in one place."""

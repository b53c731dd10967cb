"""Wire formats of other services over the same handlers."""

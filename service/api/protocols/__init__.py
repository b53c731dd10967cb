"""Other services' wire formats, each over the same handlers."""

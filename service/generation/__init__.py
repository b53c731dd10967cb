"""Language models: continue a prompt."""

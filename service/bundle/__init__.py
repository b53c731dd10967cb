"""The bundle format: manifest, files, golden cases, and the rules that training and service share."""

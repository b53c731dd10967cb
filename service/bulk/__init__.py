"""Bulk jobs: answer every row of a file on one machine, without a server."""

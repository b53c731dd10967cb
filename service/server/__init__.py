"""The HTTP server: uvicorn, in one process or several."""

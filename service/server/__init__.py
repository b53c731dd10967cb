"""What listens: uvicorn, in one process or several."""

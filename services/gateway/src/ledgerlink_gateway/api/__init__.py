"""What the gateway answers itself, on FastAPI: the overview, health, and the documentation."""

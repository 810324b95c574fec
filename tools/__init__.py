"""What `run.py` starts inside the environment: serve, smoke, check, services. Not part of the package."""

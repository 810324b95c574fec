"""What `run.py` starts: serve, smoke, check and their helpers. Not part of the package."""

"""What run.py needs before there is an environment: Python 3.8, standard library only."""


class Stop(Exception):
    """Nothing can be done; the text says what a person can do."""

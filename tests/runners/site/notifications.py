"""The types of the tests, known in every process of the site."""

from clarion import types
from tests import outward

for known in outward.TYPES:
    types.register(known)

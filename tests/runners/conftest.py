"""A site with a channel that keeps a list, and a Valkey that a test may kill."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests import outward
from tests.conftest import need

if TYPE_CHECKING:
    from tools.services import Valkey


@pytest.fixture(autouse=True)
def types() -> Iterator[None]:
    with outward.registered():
        yield


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    from tools import services
    from tools.processes import Unavailable

    try:
        server = services.Valkey()
    except Unavailable as error:
        need(None, str(error))
    with services.running(server):
        yield server

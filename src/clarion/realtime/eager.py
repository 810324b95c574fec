"""Starting a coroutine at once: a send that needn't wait costs no task and no turn of the loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any

Coro = Coroutine[Any, Any, Any]

if sys.version_info >= (3, 12):

    def start(coro: Coro) -> Awaitable[Any] | None:
        """Run `coro` until it ends or waits. None: it has ended. Else wait for what comes back.

        Raises whatever `coro` raises in that first step.
        """
        task: asyncio.Task[Any] = asyncio.Task(
            coro, loop=asyncio.get_running_loop(), eager_start=True
        )
        if not task.done():
            return task
        task.result()
        return None

else:

    def start(coro: Coro) -> Awaitable[Any] | None:
        """Run `coro` until it ends or waits. None: it has ended. Else wait for what comes back.

        Raises whatever `coro` raises in that first step.
        """
        try:
            return _Rest(coro, coro.send(None))
        except StopIteration:
            return None


class _Rest:
    """A coroutine that has made its first step, to be awaited by somebody else."""

    __slots__ = ("_coro", "_waits_for")

    def __init__(self, coro: Coro, waits_for: Any) -> None:
        self._coro = coro
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        waits_for = self._waits_for
        step: Any
        while True:
            try:
                value = yield waits_for
            except GeneratorExit:
                self._coro.close()
                raise
            except BaseException as error:  # noqa: BLE001 - handed on, a cancellation above all
                step, argument = self._coro.throw, error
            else:
                step, argument = self._coro.send, value
            try:
                waits_for = step(argument)
            except StopIteration as end:
                return end.value

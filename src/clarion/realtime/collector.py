"""Many small questions become few large ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Generic, TypeVar

logger = logging.getLogger("clarion")

Q = TypeVar("Q")
A = TypeVar("A")

_LEAST, _MOST = 0.002, 0.05  # seconds that questions are collected
_PATIENCE = 0.1  # seconds for answers, before more is asked beside them
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds after a fault


class Collector(Generic[Q, A]):
    """Collects questions about as long as the last answer took, and asks them together.

    While it waits for answers, more are collected: the busier, the larger the portions. What fails
    is asked again until it works; whoever can't wait that long gives up by themselves.
    """

    def __init__(
        self,
        answer: Callable[[list[Q]], Awaitable[dict[Q, A]]],
        portions: Callable[[Iterable[Q]], list[list[Q]]],
        *,
        at_once: int,
    ) -> None:
        """`answer` leaves out what has no answer; `at_once` portions are asked at a time."""
        self._answer, self._portions, self._at_once = answer, portions, at_once
        self._loop = asyncio.get_running_loop()
        self._asked: dict[Q, asyncio.Future[A | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._pause, self._took = 0.0, _LEAST

    def ask(self, question: Q) -> asyncio.Future[A | None]:
        """The answer, read after this moment. It may be shared: wait for it, or shield it."""
        future = self._asked.get(question)
        if future is None:
            future = self._asked[question] = self._loop.create_future()
            self._schedule()
        return future

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        if self._asked and self._timer is None and len(self._tasks) < self._at_once:
            wait = self._pause or (_PATIENCE if self._tasks else self._took)
            self._timer = self._loop.call_later(wait, self._flush)

    def _flush(self) -> None:
        self._timer = None
        asked, self._asked = self._asked, {}
        for portion in self._portions(asked):
            task = self._loop.create_task(self._settle({each: asked[each] for each in portion}))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._timer is not None and not self._tasks:
            self._timer.cancel()  # it was to be patient
            self._timer = None
        self._schedule()

    async def _settle(self, asked: dict[Q, asyncio.Future[A | None]]) -> None:
        began = self._loop.time()
        try:
            answers = await self._answer(list(asked))
        except Exception as error:  # noqa: BLE001 - whatever ails the database, we ask again
            self._failed(error)
            self._ask_again(asked)
        else:
            self._pause = 0.0
            self._took = min(max(_LEAST, self._loop.time() - began), _MOST)
            for question, future in asked.items():
                if not future.done():
                    future.set_result(answers.get(question))

    def _failed(self, error: Exception) -> None:
        if not self._pause:
            logger.warning("reading the database failed (%r); trying again until it works", error)
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)

    def _ask_again(self, asked: dict[Q, asyncio.Future[A | None]]) -> None:
        for question, future in asked.items():
            if self._asked.setdefault(question, future) is not future:
                self._asked[question].add_done_callback(partial(_pass_on, future))


def _pass_on(to: asyncio.Future[A | None], done: asyncio.Future[A | None]) -> None:
    if not to.done() and not done.cancelled():
        to.set_result(done.result())

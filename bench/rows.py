"""Many personal notifications a second, on a machine that has two cores for everything.

A notify() is 2 to 4 ms of Python; two thousand a second would need a cluster of publishers. This
writes what they would have written and sends what they would have sent, some twenty at a time: one
event and one row each, versions and counters raised in the same statement, and one nudge for each
with the frame inside, after the commit. The hub, the broker and the database can't tell the
difference, and a lost nudge is healed from real rows.
"""

from __future__ import annotations

import random
import time

from django.db import connection, transaction
from django.utils import timezone

from clarion import items
from clarion.models import Event, Notification
from clarion.realtime import frames
from clarion.realtime.brokers import publish
from clarion.realtime.frames import Nudge

_WRITE = """
WITH made AS (
    INSERT INTO clarion_event (type, category, data, text, audience, created_at, due_at)
    SELECT 'bench.numbered', 'news', data::jsonb, '', '{}', %(now)s, NULL
    FROM unnest(%(data)s::text[]) AS data
    RETURNING id, (data ->> 'number')::bigint AS number
), meant AS (
    SELECT made.id AS event, made.number, recipient
    FROM made JOIN unnest(%(numbers)s::bigint[], %(recipients)s::integer[])
        AS wanted(number, recipient) USING (number)
), raised AS (
    INSERT INTO clarion_inbox AS box (recipient_id, epoch, version, unread, unseen)
    SELECT recipient, substr(md5(random()::text), 1, 8), 1, 1, 1 FROM meant ORDER BY recipient
    ON CONFLICT (recipient_id) DO UPDATE SET
        version = box.version + 1, unread = box.unread + 1, unseen = box.unseen + 1
    RETURNING recipient_id, epoch, version, unread, unseen
), written AS (
    INSERT INTO clarion_notification (event_id, recipient_id, version, created_at, arrived_at)
    SELECT event, recipient, version, %(now)s, %(now)s
    FROM meant JOIN raised ON recipient_id = recipient
    RETURNING id, event_id, recipient_id
)
SELECT written.id, event_id, number, recipient_id, epoch, version, unread, unseen
FROM written JOIN raised USING (recipient_id) JOIN meant ON event = event_id
"""


class Batches:
    """Sends to random ones of the first `users` people, numbered from `start` on."""

    def __init__(self, users: int, start: int) -> None:
        self._users, self._number = users, start
        self._chance = random.Random(7)
        self._template = _template()

    def send(self, count: int) -> None:
        numbers = list(range(self._number, self._number + count))
        self._number += count
        sent = time.monotonic_ns()  # what a healed message says; the others say it themselves
        values = {
            "data": [f'{{"number": {number}, "sent": {sent}}}' for number in numbers],
            "numbers": numbers,
            "recipients": self._chance.sample(range(1, self._users + 1), count),
            "now": timezone.now(),
        }
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_WRITE, values)
            rows = cursor.fetchall()
        for row in rows:
            publish(self._nudge(*row))

    def _nudge(
        self, pk: int, event: int, number: int, recipient: int, epoch: str, version: int,
        unread: int, unseen: int,
    ) -> Nudge:  # fmt: skip
        said = {
            "pk": pk, "event": event, "number": number, "sent": time.monotonic_ns(),
            "epoch": epoch, "after": version - 1, "version": version,
            "unread": unread, "unseen": unseen,
        }  # fmt: skip
        frame = (self._template % said).encode()
        return Nudge(f"inbox.{recipient}", epoch, version - 1, version, frame)


def _template() -> str:
    """A frame as Clarion makes it, with places for what differs."""
    names = ("pk", "event", "number", "sent", "after", "version", "unread", "unseen")
    mark = {name: 9_000_000_000 + place for place, name in enumerate(names)}
    event = Event(
        pk=mark["event"], type="bench.numbered", category="news", created_at=timezone.now(),
        data={"number": mark["number"], "sent": mark["sent"]},
    )  # fmt: skip
    row = Notification(
        pk=mark["pk"], event=event, version=mark["version"],
        created_at=event.created_at, arrived_at=event.created_at,
    )  # fmt: skip
    item = items.render(row)
    frame = frames.change(
        "inbox", epoch="<epoch>", after=mark["after"], version=mark["version"], items=[item],
        counts={"unread": mark["unread"], "unseen": mark["unseen"]}, message=item["message"],
    )  # fmt: skip
    text = frame.decode().replace("%", "%%").replace("<epoch>", "%(epoch)s")
    for name, number in mark.items():
        text = text.replace(str(number), f"%({name})s")
    return text

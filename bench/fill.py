"""Ten million notifications: 100,000 people with 95 each, and one with 500,000.

The rows are made by the database in the order in which they would have come, so that one person's
rows lie far apart; counters and versions agree with them. The peer's table gets the same rows.

    python -m bench.fill 100000 95 500000    people, rows of each, rows of the heavy one
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django

from bench.common import note

PEOPLE, EACH, HEAVY = 100_000, 95, 500_000

_EVENTS = """
INSERT INTO clarion_event (type, category, data, text, actor_type_id, actor_id, created_at, due_at)
SELECT 'bench.news', 'news', jsonb_build_object('headline', 'The library is open on Sunday ' || n),
    'The library is open on Sunday ' || n, %(user_type)s, (n %% 1000 + 1)::text,
    now() - interval '200 days' + n * interval '20 seconds', NULL
FROM generate_series(1, %(events)s) AS n
"""

# State as a person leaves it: nearly all that is old was read, much of what is new wasn't; one in
# twenty is archived, one in a hundred snoozed, one in five hundred pinned. The heavy one's unread
# rows are among the oldest, where a scan from the newest finds them last.
_ROWS = """
INSERT INTO clarion_notification (event_id, recipient_id, version, created_at, arrived_at,
    seen_at, read_at, archived_at, snoozed_until, pinned)
SELECT event, person, number, moment, moment,
    CASE WHEN is_old OR NOT unread THEN moment + interval '1 hour' END,
    CASE WHEN NOT unread THEN moment + interval '1 hour' END,
    CASE WHEN lot >= 0.95 THEN moment + interval '1 day' END,
    CASE WHEN lot < 0.01 THEN now() + lot * interval '1000 days' END,
    lot BETWEEN 0.5 AND 0.502
FROM (
    SELECT event, person, number, moment, is_old, random() AS lot,
        CASE WHEN is_heavy THEN number < 5000 WHEN is_old THEN random() < 0.1
            ELSE random() < 0.6 END AS unread
    FROM ({series}) AS series
) AS drawn
ORDER BY moment
"""

_TYPICAL = """
SELECT (number - 1) * %(groups)s + person %% %(groups)s + 1 AS event, person, number,
    number < %(each)s * 0.8 AS is_old, false AS is_heavy,
    now() - interval '200 days' + number * (interval '199 days' / %(each)s)
        + person * interval '0.1 seconds' AS moment
FROM generate_series(1, %(people)s) AS person, generate_series(1, %(each)s) AS number
"""
_HEAVY = """
SELECT %(groups)s * %(each)s + number AS event, %(people)s + 1 AS person, number,
    number < %(heavy)s * 0.8 AS is_old, true AS is_heavy,
    now() - interval '200 days' + number * (interval '199 days' / %(heavy)s) AS moment
FROM generate_series(1, %(heavy)s) AS number
"""

_INBOXES = """
INSERT INTO clarion_inbox (recipient_id, epoch, version, unread, unseen)
SELECT recipient_id, 'bench', max(version), count(*) FILTER (WHERE listed AND read_at IS NULL),
    count(*) FILTER (WHERE listed AND seen_at IS NULL)
FROM (SELECT *, archived_at IS NULL AND snoozed_until IS NULL AS listed FROM clarion_notification)
GROUP BY recipient_id
ON CONFLICT (recipient_id) DO UPDATE SET epoch = excluded.epoch, version = excluded.version,
    unread = excluded.unread, unseen = excluded.unseen
"""

_PEER = """
INSERT INTO notifications_notification (level, recipient_id, unread, actor_content_type_id,
    actor_object_id, verb, description, timestamp, public, deleted, emailed)
SELECT 'info', recipient_id, read_at IS NULL, %(user_type)s, (event_id %% 1000 + 1)::text,
    'The library is open on Sunday', 'Some text of a usual length here', arrived_at,
    true, false, false
FROM clarion_notification ORDER BY id
"""


def main(people: int, each: int, heavy: int) -> None:
    django.setup()
    from django.contrib.auth.models import User
    from django.contrib.contenttypes.models import ContentType
    from django.db import connection

    groups = max(1, people // 100)  # an event concerns about a hundred people
    values = {
        "people": people, "each": each, "heavy": heavy, "groups": groups,
        "events": groups * each + heavy, "user_type": ContentType.objects.get_for_model(User).pk,
    }  # fmt: skip
    with connection.cursor() as cursor:
        if _count(cursor) != people * each + heavy:
            _fill(cursor, values)
        print(json.dumps({"rows": _count(cursor)}))


def _count(cursor: Any) -> int:
    cursor.execute("SELECT count(*) FROM clarion_notification")
    return int(cursor.fetchone()[0])


def _fill(cursor: Any, values: dict[str, int]) -> None:
    cursor.execute("SELECT setseed(0.5)")
    cursor.execute("SET session_replication_role = replica")  # no foreign keys checked row by row
    cursor.execute(
        "TRUNCATE clarion_event, clarion_notification, clarion_inbox, notifications_notification "
        "RESTART IDENTITY CASCADE"
    )
    with _without_indexes(cursor, "clarion_notification"):
        for what, statement in (
            ("events", _EVENTS),
            ("rows", _ROWS.format(series=f"{_TYPICAL} UNION ALL {_HEAVY}")),
            ("inboxes", _INBOXES),
        ):
            note(f"filling: {what} ...")
            cursor.execute(statement, values)
    with _without_indexes(cursor, "notifications_notification"):
        note("filling: the peer's rows ...")
        cursor.execute(_PEER, values)
    cursor.execute("VACUUM ANALYZE")


@contextmanager
def _without_indexes(cursor: Any, table: str) -> Iterator[None]:
    """Drop what can be made again, and make it again: far quicker than keeping it up."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname NOT IN "
        "(SELECT conname FROM pg_constraint)",
        [table],
    )
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f'DROP INDEX "{name}"')
    try:
        yield
    finally:
        for name, definition in indexes:
            note(f"indexing: {name} ...")
            cursor.execute(definition)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

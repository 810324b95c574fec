"""What happens when rows are saved in any other way, and when somebody may no longer listen."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import post_delete, post_save, pre_delete
from django.dispatch import receiver
from django.utils import timezone

from clarion import deliveries, runner, upkeep
from clarion.models import Event, Notification
from clarion.realtime.auth import revoke, session_digest


@receiver(post_save, sender=Notification, dispatch_uid="clarion.notification_saved")
def notification_saved(instance: Notification, raw: bool, **_: Any) -> None:
    """A row saved by `create()`, the admin or a shell gets a version, which publishes it."""
    if not raw:
        Notification.objects.filter(pk=instance.pk).update(version=None)
        transaction.on_commit(upkeep.stamp, robust=True)


@receiver(post_delete, sender=Notification, dispatch_uid="clarion.notification_deleted")
def notification_deleted(instance: Notification, **_: Any) -> None:
    transaction.on_commit(partial(upkeep.forget, instance.recipient_id), robust=True)


@receiver(post_save, sender=Event, dispatch_uid="clarion.event_saved")
def event_saved(instance: Event, created: bool, raw: bool, **_: Any) -> None:
    """An event made by hand is the runner's; one of `notify()` is held by whoever commits it."""
    if created and not raw and instance.due_at and instance.due_at <= timezone.now():
        transaction.on_commit(runner.wake, robust=True)


@receiver(pre_delete, sender=Event, dispatch_uid="clarion.event_deleted")
def event_deleted(instance: Event, **_: Any) -> None:
    """What waits in one window with a delivery of this event goes on without it."""
    deliveries.hand_over(instance)


@receiver(user_logged_out, dispatch_uid="clarion.logged_out")
def logged_out(request: Any, user: Any, **_: Any) -> None:
    """The sockets of the session that ended are closed, in every process."""
    session = getattr(request, "session", None)
    if user is not None and session is not None and session.session_key:
        revoke(user.pk, session_digest(session.session_key))


@receiver(post_save, sender=get_user_model(), dispatch_uid="clarion.user_saved")
def user_saved(instance: Any, created: bool, **_: Any) -> None:
    """Somebody who was deactivated hears nothing from now on."""
    if not created and not instance.is_active:
        transaction.on_commit(partial(revoke, instance.pk), robust=True)

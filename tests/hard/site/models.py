"""What a site without Clarion has: a table of notices, pushed when one is saved."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver


class Notice(models.Model):
    recipient = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    text = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.text


@receiver(post_save, sender=Notice)
def push(instance: Notice, created: bool, **_: Any) -> None:
    """As the tutorials have it: straight from the signal, by the channel layer."""
    from asgiref.sync import async_to_sync
    from channels.layers import get_channel_layer

    layer: Any = get_channel_layer()
    message = {"type": "notice", "id": instance.pk, "text": instance.text}
    async_to_sync(layer.group_send)(f"user-{instance.recipient_id}", message)

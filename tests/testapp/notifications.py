"""A few types, as a site's developer writes them; found like `admin.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model

from clarion import Action, Content, Level, NotificationType, audience, register

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet

    from clarion.models import Event


@register
@dataclass(frozen=True, kw_only=True)
class Commented(NotificationType):
    """Somebody wrote under an article. Repeats are collapsed where the caller says so."""

    type = "article.commented"
    category = "comments"
    example = {"excerpt": "Well said!"}

    excerpt: str

    def content(self, event: Event) -> Content:
        title = f"{event.who} commented"
        if event.count > 1:
            title += f" ({event.count})"
        return Content(title=title, body=self.excerpt, url="/articles/")


@register
@dataclass(frozen=True, kw_only=True)
class Published(NotificationType):
    """An article came out. Its content needs the target, which may be gone by then."""

    type = "article.published"
    category = "articles"
    level = Level.SUCCESS
    example = {}

    def content(self, event: Event) -> Content:
        article = event.target
        if article is None:
            return Content(title="An article was published")
        return Content(title=f"{article.title} was published", url=article.get_absolute_url())


@register
@dataclass(frozen=True, kw_only=True)
class DueSoon(NotificationType):
    """With a time, an option and buttons: every kind of field that a payload may have."""

    type = "article.due"
    category = "deadlines"
    level = Level.WARNING
    example = {"due": "2026-01-05T16:00:00Z", "words": 1200}

    due: datetime
    words: int
    note: str | None = None

    def content(self, event: Event) -> Content:
        return Content(
            title=f"{self.words} words are due on {self.due:%Y-%m-%d}",
            body=self.note or "",
            actions=[
                Action("Open", "/articles/"),
                Action("More time", "/articles/more-time/", method="POST"),
            ],
        )


@register
@dataclass(frozen=True, kw_only=True)
class SignInAlert(NotificationType):
    """Required: nobody can switch it off."""

    type = "account.signin"
    category = "security"
    level = Level.CRITICAL
    required = True
    example = {"device": "Firefox on Linux"}

    device: str

    def content(self, event: Event) -> Content:
        return Content(title="New sign-in", body=self.device)


@register
@dataclass(frozen=True, kw_only=True)
class Invited(NotificationType):
    """With a picture, and buttons of which one would post to another site."""

    type = "account.invited"
    example = {"by": "Bob"}

    by: str

    def content(self, event: Event) -> Content:
        return Content(
            title=f"{self.by} invites you",
            image="/media/bob.png",
            actions=[
                Action("Look at it", "/invitations/1/"),
                Action("Accept", "/invitations/1/accept/", method="POST"),
                Action("Elsewhere", "https://elsewhere.example/accept/", method="POST"),
            ],
        )


@audience("authors")
def authors(*, prefix: str = "") -> QuerySet[User]:
    """Everybody who wrote an article, whose name begins with `prefix`."""
    found = get_user_model().objects.filter(articles__isnull=False, username__startswith=prefix)
    return found.distinct()

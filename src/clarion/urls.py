"""include("clarion.urls"): the inbox page, the JSON under the bell, and the event stream."""

from django.urls import path

from clarion import gallery, pages, push, unsubscribe_pages, views
from clarion.realtime.sse import stream_view

app_name = "clarion"
urlpatterns = [
    path("", pages.inbox_page, name="inbox"),
    path("act/", pages.act, name="act"),
    path("api/inbox/", views.page, name="page"),
    path("api/changes/", views.changes, name="changes"),
    path("api/mark/", views.mark, name="mark"),
    path("api/ticket/", views.ticket, name="ticket"),
    path("api/push/", push.state, name="push"),
    path("api/push/subscribe/", push.subscribe, name="subscribe"),
    path("api/push/unsubscribe/", push.unsubscribe, name="unsubscribe"),
    path("worker.js", push.worker, name="worker"),
    path("unsubscribe/<str:token>/", unsubscribe_pages.one_click, name="one_click"),
    path("gallery/", gallery.page, name="gallery"),
    path("stream/", stream_view, name="stream"),
]

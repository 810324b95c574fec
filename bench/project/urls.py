"""Nothing is served yet but what Clarion itself serves."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

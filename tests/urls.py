"""The URLs of a site that installed Clarion as its documentation says."""

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("login/", LoginView.as_view(), name="login"),
    path("notifications/", include("clarion.urls")),
]

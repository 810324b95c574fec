from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("school.urls")),
    path("notifications/", include("clarion.urls")),
    path("admin/", admin.site.urls),
]

from django.urls import include, path

urlpatterns = [path("notifications/", include("clarion.urls"))]

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from tests.e2e import views

urlpatterns = [
    path("", views.home, name="home"),
    path("read/", views.reading),
    path("enrol/", views.enrol),
    path("tell/", views.tell),
    path("done/", views.done),
    path("login/", LoginView.as_view(template_name="e2e/login.html", next_page="/")),
    path("logout/", LogoutView.as_view(next_page="/")),
    path("notifications/", include("clarion.urls")),
]

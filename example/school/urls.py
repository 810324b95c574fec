from django.contrib.auth import views as auth_views
from django.urls import path

from school import views

urlpatterns = [
    path("", views.home, name="home"),
    path("send/", views.send, name="send"),
    path("notices/<int:pk>/", views.notice, name="notice"),
    path("notices/<int:pk>/take-back/", views.take_back_notice, name="take-back"),
    path("class-book/", views.class_book, name="class-book"),
    path("class-book/<str:name>/", views.class_book, name="class-book-entry"),
    path("mail/now/", views.mail_now, name="mail-now"),
    path("login/", views.LoginView.as_view(), name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
]

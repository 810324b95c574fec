from django.apps import AppConfig


class EndToEndConfig(AppConfig):
    name = "tests.e2e"
    label = "e2e"

import os
import threading

from django.apps import AppConfig

from tests.hard.site.apps import end_with_the_rig


class SiteConfig(AppConfig):
    name = "tests.runners.site"
    label = "runners"

    def ready(self) -> None:
        threading.Thread(target=end_with_the_rig, args=[os.getppid()], daemon=True).start()

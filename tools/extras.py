"""Each extra is optional: without its packages, and with all others, everything else works."""

from __future__ import annotations

import sys

from tools.throwaway import PROBE, Environment, built_wheel, empty_environment

#: Extra: its distributions, and those that can't be there without them.
DISTRIBUTIONS = {
    "channels": ("channels", "channels-redis"),
    "redis": ("redis", "hiredis", "channels-redis"),
    "celery": ("celery", "kombu", "billiard"),
    "tasks": ("django-tasks",),
    "webpush": ("cryptography",),
    "apprise": ("apprise",),
    "anymail": ("django-anymail",),
    "server": ("uvicorn", "websockets", "httptools", "uvloop"),
    "postgres": ("psycopg", "psycopg-binary"),
}
MODULES = {
    "django-tasks": "django_tasks",
    "django-anymail": "anymail",
    "channels-redis": "channels_redis",
    "psycopg-binary": "psycopg_binary",
}


def main() -> int:
    failed = []
    with built_wheel() as wheel:
        for extra, distributions in DISTRIBUTIONS.items():
            with empty_environment() as environment:
                environment.install_set("full")
                environment.install_wheel(wheel)
                print(f"without {extra} ({', '.join(distributions)})", flush=True)
                if not works_without(environment, distributions):
                    failed.append(extra)
    print(f"extras: {len(DISTRIBUTIONS) - len(failed)} of {len(DISTRIBUTIONS)} are optional")
    return 1 if failed else 0


def works_without(environment: Environment, distributions: tuple[str, ...]) -> bool:
    environment.remove(distributions)
    absent = [MODULES.get(name, name) for name in distributions]
    return environment.run(PROBE / "alone.py", *absent) == 0


if __name__ == "__main__":
    sys.exit(main())

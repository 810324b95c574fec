"""A mail server that keeps a list of what it got: `python -m tests.hard.postbox PORT FILE LATE`.

It appends the id of each envelope to FILE, and only LATE seconds later says that it has the mail.
Who is killed in between has sent it and doesn't know.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from typing import Any

from aiosmtpd.smtp import SMTP

SAYS_ID = re.compile(rb"^Message-ID: <(.+?)\.", re.IGNORECASE | re.MULTILINE)


class Postbox:
    def __init__(self, path: str, late: float) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.late = late

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        found = SAYS_ID.search(envelope.content)
        assert found, envelope.content
        os.write(self.file, found[1] + b"\n")
        await asyncio.sleep(self.late)
        return "250 OK"


async def main(port: int, path: str, late: float) -> None:
    box = Postbox(path, late)
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: SMTP(box, hostname="postbox"), "127.0.0.1", port)
    rig = os.getppid()
    while os.getppid() == rig:
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))

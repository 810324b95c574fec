"""The pages of the sink. Whatever arrived is shown as text: `fill` escapes all but our own HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.sink import Hook, Mail, Push, Sink

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "frame-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Of a mail's own HTML: no scripts, nothing fetched, no origin; links open in a tab of their own.
MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'"
)
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
FILES = {"/sink.css": "text/css", "/sink.js": "text/javascript"}
SHOWN_HEADERS = (
    "From", "To", "Date", "Reply-To", "Message-ID", "In-Reply-To", "References", "List-Id",
    "List-Unsubscribe", "List-Unsubscribe-Post", "Auto-Submitted",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What goes back to the browser."""

    text: str
    kind: str = "text/html"
    status: HTTPStatus = HTTPStatus.OK
    policy: str = POLICY
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        sent = {
            "Content-Type": f"{self.kind}; charset=utf-8",
            "Content-Security-Policy": self.policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        object.__setattr__(self, "headers", sent)


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def fill(template: str, **values: object) -> Html:
    """The template with the values in it, escaped where they aren't `Html`."""
    safe = {
        name: value if isinstance(value, Html) else html.escape(str(value))
        for name, value in values.items()
    }
    return Html(template.format(**safe))


def join(parts: Iterable[Html]) -> Html:
    return Html("\n".join(parts))


def overview(sink: Sink) -> Answer:
    """All that arrived, newest first."""
    mails, hooks, pushes = sink.mails, sink.hooks, sink.pushes
    newest = max((each.number for each in (*mails[:1], *hooks[:1], *pushes[:1])), default=0)
    body = fill(
        """<main class="columns" data-newest="{newest}">
{mails}
<div>{hooks}{pushes}</div>
</main><script type="module" src="/sink.js"></script>""",
        newest=newest,
        mails=_section("Mail", map(_mail_row, mails), f"Sent to {sink.smtp}"),
        hooks=_section("Webhooks", map(_hook_row, hooks), f"Posted to {sink.webhook}"),
        pushes=_section("Push", map(_push_row, pushes), "Pushed to a device of Sam's"),
    )
    return Answer(_page("What left the site", body))


def _section(heading: str, rows: Iterable[Html], where: str) -> Html:
    made = list(rows)
    return fill(
        """<section aria-labelledby="{id}">
<h2 id="{id}">{heading} <span class="count">{count}</span></h2>
{rows}<p class="where">{where}</p></section>""",
        id=heading.lower(),
        heading=heading,
        count=len(made),
        rows=fill("<ol>{rows}</ol>", rows=join(made)) if made else NOTHING,
        where=where,
    )


NOTHING = Html('<p class="empty">Nothing yet. This page shows it by itself.</p>')


def _mail_row(mail: Mail) -> Html:
    return fill(
        """<li><a href="/mail/{number}">{subject}</a>
<p>{sender} to {to}</p>{time}</li>""",
        number=mail.number,
        subject=mail.subject or "(no subject)",
        sender=mail.sender,
        to=", ".join(mail.to),
        time=_time(mail.at),
    )


def _hook_row(hook: Hook) -> Html:
    return fill(
        """<li><a href="/webhook/{number}">{type}</a>
<p>{verdict}</p>{time}</li>""",
        number=hook.number,
        type=hook.type,
        verdict=_verdict(hook),
        time=_time(hook.at),
    )


def _push_row(push: Push) -> Html:
    return fill(
        """<li><b>{title}</b>
<p>{body} <span class="good">✓ signature verified, decrypted</span></p>{time}</li>""",
        title=push.title,
        body=push.body,
        time=_time(push.at),
    )


def _verdict(hook: Hook) -> Html:
    if hook.verified:
        return Html('<span class="good">✓ signature verified</span>')
    return fill('<span class="bad">✗ not verified: {fault}</span>', fault=hook.fault)


def _time(moment: str) -> Html:
    local = datetime.fromisoformat(moment).astimezone()
    return fill('<time datetime="{at}">{shown}</time>', at=moment, shown=f"{local:%H:%M:%S}")


def mail(mail: Mail) -> Answer:
    """One mail: its headers, its text, and its HTML in a frame that can do nothing."""
    shown = [(name, value) for name, value in mail.headers if name.title() in _SHOWN]
    body = fill(
        """<main><p><a href="/">All that left the site</a></p>
<h2>{subject}</h2>{headers}{frame}{text}
<details><summary>All headers</summary>{all_headers}</details></main>""",
        subject=mail.subject or "(no subject)",
        headers=_table(shown),
        frame=_frame(mail),
        text=_text(mail),
        all_headers=_table(mail.headers),
    )
    return Answer(_page(mail.subject or "(no subject)", body))


_SHOWN = {name.title() for name in SHOWN_HEADERS}


def _frame(mail: Mail) -> Html:
    if not mail.html:
        return Html("")
    return fill(
        """<h3>As HTML</h3>
<iframe src="/mail/{number}/html" title="The mail as HTML" sandbox="{sandbox}"></iframe>""",
        number=mail.number,
        sandbox=SANDBOX,
    )


def _text(mail: Mail) -> Html:
    return fill("<h3>As text</h3><pre>{text}</pre>", text=mail.text) if mail.text else Html("")


def html_of(mail: Mail) -> Answer:
    """What the mail says in HTML, as it is; the policy keeps it from doing anything."""
    new_tab = '<base target="_blank">'
    return Answer(
        re.sub(r"(<head\b[^>]*>)", rf"\1{new_tab}", mail.html, count=1, flags=re.IGNORECASE),
        policy=MAIL_POLICY,
    )


def hook(hook: Hook) -> Answer:
    """One webhook: what the library says of it, its headers and its body."""
    body = fill(
        """<main><p><a href="/">All that left the site</a></p>
<h2>{type}</h2><p>{verdict}</p>{headers}<h3>Body</h3><pre>{body}</pre></main>""",
        type=hook.type,
        verdict=_verdict(hook),
        headers=_table(hook.headers),
        body=hook.body,
    )
    return Answer(_page(hook.type, body))


def _table(rows: Iterable[tuple[str, str]]) -> Html:
    row = "<tr><th scope='row'>{name}</th><td>{value}</td></tr>"
    made = join(fill(row, name=name, value=value) for name, value in rows)
    return fill("<table>{rows}</table>", rows=made)


def not_found() -> Answer:
    body = Html('<main><p>There is nothing here. <a href="/">All that left the site</a></p></main>')
    return Answer(_page("Not found", body), status=HTTPStatus.NOT_FOUND)


def _page(title: str, body: Html) -> Html:
    return fill(
        """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/sink.css">
</head>
<body>
<header><h1><a href="/">What left the site</a></h1>
<p>All that this demo sends ends here. Nothing goes any further.</p></header>
{body}
</body>
</html>""",
        title=title,
        body=body,
    )


def file(path: str) -> Answer:
    """The style sheet or the script beside this module."""
    text = (Path(__file__).parent / path.lstrip("/")).read_text(encoding="utf-8")
    return Answer(text, kind=FILES[path])

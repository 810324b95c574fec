"""What the errors of mail servers and mail services mean: again later, never, or gone for good.

Reasons are made of codes. What a server wrote is left out, for it may quote addresses.
"""

from __future__ import annotations

import re
import smtplib

from django.core.exceptions import ImproperlyConfigured

from clarion.exceptions import DeliveryFailure, EndpointGone, PermanentFailure, TransientFailure

# RFC 3463: no such mailbox, moved without a trace, a domain that takes no mail, switched off
_GONE = ("5.1.1", "5.1.6", "5.1.10", "5.2.1")
_STATUS = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_UNKNOWN = re.compile(
    r"unknown|no such|no mailbox|not exist|not found|unavailable|unrouteable"
    r"|invalid (?:user|recipient|mailbox)",
    re.IGNORECASE,
)


def failure_of(error: Exception) -> DeliveryFailure | None:
    """What a failed attempt to send comes to; None for errors that have nothing to do with mail."""
    if isinstance(error, ImproperlyConfigured):
        return None  # its text says what to do
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        [(code, text)] = error.recipients.values()
        return _refused(code, text)
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return TransientFailure(
            f"the mail server refused the login ({error.smtp_code}): check the mailer's user name "
            "and password"
        )
    if isinstance(error, smtplib.SMTPSenderRefused):
        return TransientFailure(
            f"the mail server refused the sender ({error.smtp_code}): check from_email"
        )
    if isinstance(error, smtplib.SMTPDataError):
        return _refused(error.smtp_code, error.smtp_error, by_status=True)
    if isinstance(error, smtplib.SMTPResponseException):
        return TransientFailure(f"the mail server is not ready ({error.smtp_code})")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return TransientFailure("the mail server can't do what the mailer asks for, such as TLS")
    if isinstance(error, smtplib.SMTPServerDisconnected | TimeoutError):
        return TransientFailure("the mail server did not answer in time, or broke off")
    if isinstance(error, OSError) and not _is_of_anymail(error):
        return TransientFailure(f"the mail server can't be reached: {type(error).__name__}")
    return _of_service(error) if _is_of_anymail(error) else None


def _refused(code: int, text: bytes | str, *, by_status: bool = False) -> DeliveryFailure:
    """A reply about this recipient, or `by_status` about the mail as a whole."""
    said = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    status = _STATUS.search(said)
    name = f"{code} {status[0]}" if status else str(code)
    if code < 500:
        return TransientFailure(f"the mail server asks to try again later ({name})")
    if _is_unknown(code, status[0] if status else "", "" if by_status else said):
        return EndpointGone(f"the mail server knows no such mailbox ({name})")
    return PermanentFailure(f"the mail server refused the mail ({name})")


def _is_unknown(code: int, status: str, said: str) -> bool:
    """550 is also said for reasons of policy; those must not retire an address."""
    if status:
        return status in _GONE
    return code == 550 and bool(_UNKNOWN.search(said))


def _is_of_anymail(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] == "anymail"


def _of_service(error: Exception) -> DeliveryFailure:
    """django-anymail's errors; its classes are named, so that it need not be installed."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if names & {"AnymailRecipientsRefused", "AnymailInvalidAddress"}:
        return PermanentFailure("the mail service refused the address")
    if "AnymailUnsupportedFeature" in names:
        return TransientFailure(
            "the mail service lacks something that the mail has: "
            "set ANYMAIL['IGNORE_UNSUPPORTED_FEATURES'] = True"
        )
    code = getattr(error, "status_code", None)
    return TransientFailure(f"the mail service answered {code or type(error).__name__}")

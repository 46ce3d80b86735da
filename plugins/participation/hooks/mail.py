"""The town's mail server behind the Airflow connection ``participation_smtp``, through Airflow's own hook."""

import smtplib
from collections.abc import Sequence

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk.exceptions import AirflowException

from include.errors import ConfigurationError, TransientError

SMTP_CONN_ID = "participation_smtp"


class MailNotTakenError(TransientError):
    """No mail server took the mail; it may later."""


def send(to: Sequence[str], subject: str, html: str) -> None:
    """Hand one mail to the server; the sender is the connection's ``from_email``, else its login.

    Raises:
        ConfigurationError: The connection names no sender.
        MailNotTakenError: The server is not there, refused, or the connection is missing.
    """
    try:
        with SmtpHook(SMTP_CONN_ID) as server:
            sender = server.from_email or server.smtp_user
            if not sender:
                raise ConfigurationError(
                    f"the connection {SMTP_CONN_ID} names no sender: add from_email to its extra"
                )
            server.send_email_smtp(
                to=list(to), subject=subject, html_content=html, from_email=sender
            )
    except (OSError, smtplib.SMTPException, AirflowException) as error:
        raise MailNotTakenError(
            f"mail by {SMTP_CONN_ID}: {type(error).__name__}: {error}"[:300]
        ) from error

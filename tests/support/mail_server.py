"""A mail server on loopback, from the library that many test with: STARTTLS or TLS from the first byte, an account with a
password. Prints its port; each mail it takes becomes a line of JSON in a file."""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

mode, certificate, key, box = sys.argv[1:5]


class Box:
    async def handle_DATA(self, server, session, envelope):
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": mode == "tls" or session.ssl is not None,
            "user": session.auth_data.login.decode() if session.auth_data else None,
            "data": envelope.content.decode("utf-8", "replace"),
        }
        with open(box, "a") as file:
            file.write(json.dumps(mail) + "\n")
        return "250 taken"


def known(server, session, envelope, mechanism, data):
    good = data.login == b"runplan" and data.password == b"hunter2-of-mail"
    return AuthResult(success=good, handled=good, auth_data=data if good else None)


async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def session():
        return SMTP(
            Box(),
            hostname="localhost",
            enable_SMTPUTF8=True,
            authenticator=known,
            auth_required=mode != "none",
            auth_require_tls=mode == "starttls",
            require_starttls=mode == "starttls",
            tls_context=context if mode == "starttls" else None,
            loop=asyncio.get_running_loop(),
        )

    server = await asyncio.get_running_loop().create_server(
        session, "127.0.0.1", 0, ssl=context if mode == "tls" else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())

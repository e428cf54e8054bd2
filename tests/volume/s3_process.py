"""A process that speaks S3 (moto's server) at a free port of loopback, with TLS: one bucket, one user, signatures
checked, and faults on request. Its first line says port and keys; its arguments are bucket and folder of certificates.
"""

import json
import ssl
import sys
from pathlib import Path
from typing import Any

import moto.settings
from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
BROKEN = b"<Error><Code>ServiceUnavailable</Code><Message>Try later.</Message></Error>"


class Faulty:
    """The application, with the faults that were asked for: {method, word, skip, times, kind}."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._faults: list[dict[str, Any]] = []
        self.asked = 0

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/-/faults":
            self._faults = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            start("200 OK", [])
            return [b""]
        for fault in self._faults:
            if fault["method"] == environ["REQUEST_METHOD"] and fault["word"] in path:
                if fault["skip"] > 0:
                    fault["skip"] -= 1
                elif fault["times"] > 0:
                    fault["times"] -= 1
                    return self._fail(fault["kind"], environ, start)
        return self._app(environ, start)

    def _fail(self, kind: str, environ: dict[str, Any], start: Any) -> Any:
        if kind == "503":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start(
                "503 Service Unavailable", [("Content-Type", "application/xml"), ("Content-Length", str(len(BROKEN)))]
            )
            return [BROKEN]
        answer: list[Any] = []
        body = b"".join(self._app(environ, lambda status, headers, *rest: answer.extend((status, headers))))
        start(*answer)
        return [body[: len(body) // 2]]  # the headers promise more


class Quiet(WSGIRequestHandler):
    """Says nothing about each request."""

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def main(bucket: str, certificates: str) -> None:
    region = "us-east-1"
    iam = iam_backends[DEFAULT_ACCOUNT_ID]["global"]
    iam.create_user(region, "micronova")
    iam.put_user_policy("micronova", "everything", json.dumps(EVERYTHING))
    key = iam.create_access_key("micronova")
    s3_backends[DEFAULT_ACCOUNT_ID]["global"].create_bucket(bucket, region)
    moto.settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(certificates) / "server-cert.pem", Path(certificates) / "server-key.pem")
    app = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, True, request_handler=Quiet, ssl_context=tls)
    facts = {"port": server.server_address[1], "access_key": key.access_key_id, "secret_key": key.secret_access_key}
    print(json.dumps(facts), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

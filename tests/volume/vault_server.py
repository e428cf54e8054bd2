"""A little Vault: the key-value engine, version 2, as its HTTP API is documented, in a thread at loopback."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

TOKEN = "s.a-token-for-tests"


class Vault:
    """Secrets of one mount "secret"; `failing` statuses are answered first, one a request."""

    def __init__(self) -> None:
        self.secrets: dict[str, list[dict[str, Any]]] = {}
        self.failing: list[int] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        vault = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                vault.answer(self)

            do_POST = do_DELETE = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.seen.append((request.command, request.path, dict(request.headers)))
        status, said = self._decide(request, json.loads(body) if body else None)
        content = json.dumps(said).encode() if said is not None else b""
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        if status == 307:
            request.send_header("Location", f"{self.url}/elsewhere")
        request.end_headers()
        request.wfile.write(content)

    def _decide(self, request: BaseHTTPRequestHandler, body: Any) -> tuple[int, Any]:
        if self.failing:
            return self.failing.pop(0), {"errors": ["told to fail"]}
        if request.headers.get("X-Vault-Token") != TOKEN:
            return 403, {"errors": ["permission denied"]}
        kind, _, path = request.path.removeprefix("/v1/secret/").partition("/")
        versions = self.secrets.get(path, [])
        match request.command, kind:
            case "POST", "data":
                if body.get("options", {}).get("cas", len(versions)) != len(versions):
                    return 400, {"errors": ["check-and-set parameter did not match the current version"]}
                self.secrets.setdefault(path, []).append(body["data"])
                return 200, {"data": {"version": len(versions) + 1}}
            case "GET", "data" if versions:
                return 200, {"data": {"data": versions[-1], "metadata": {"version": len(versions)}}}
            case "DELETE", "metadata":
                self.secrets.pop(path, None)
                return 204, None
        return 404, {"errors": []}

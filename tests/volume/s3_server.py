"""A server that speaks S3, as a process of a test's own: started, told to fail, stopped, started again."""

import importlib.util
import json
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Self

from volume_certificates import fill

from micronova.volume.drivers.backup_s3 import S3BackupStore, S3Options

BUCKET = "backups"
PRESENT = all(importlib.util.find_spec(name) for name in ("moto", "flask", "botocore"))


class S3Server:
    """One bucket and one user; everything is lost with the process."""

    def __init__(self, folder: Path) -> None:
        """Its certificates are put into the folder."""
        fill(folder, "127.0.0.1")
        self._ca_file = str(folder / "ca-cert.pem")
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("s3_process.py"), BUCKET, folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        facts = json.loads(self._process.stdout.readline())
        self.access_key, self.secret_key = facts["access_key"], facts["secret_key"]
        self.url = f"https://127.0.0.1:{facts['port']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *rest: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def options(self, **more: object) -> S3Options:
        """How the store is reached."""
        known = {"endpoint": self.url, "bucket": BUCKET, "access_key": self.access_key, "ca_file": self._ca_file}
        return S3Options(**{**known, "tries": 2, **more})  # type: ignore[arg-type]

    def store(self, **more: object) -> S3BackupStore:
        """A store of backups in the bucket."""
        return S3BackupStore(self.options(**more), self.secret_key)

    def fail(self, method: str, word: str, kind: str = "503", *, skip: int = 0, times: int = 1000) -> None:
        """After `skip` of them, the next requests of this method with the word in their path go wrong."""
        self._tell([{"method": method, "word": word, "kind": kind, "skip": skip, "times": times}])

    def mend(self) -> None:
        """Nothing goes wrong any more."""
        self._tell([])

    def _tell(self, faults: list[dict[str, object]]) -> None:
        request = urllib.request.Request(f"{self.url}/-/faults", json.dumps(faults).encode(), method="POST")
        context = ssl.create_default_context(cafile=self._ca_file)
        with urllib.request.urlopen(request, timeout=20, context=context):
            pass

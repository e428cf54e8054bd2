"""Microversions: which shape of the API a request asks for (API-SIG guideline "Microversion Specification")."""

import re
from collections.abc import Callable

import msgspec

from micronova.errors import BadRequest

Version = tuple[int, int]


class Microversions(msgspec.Struct, frozen=True, kw_only=True):
    """The range one service speaks. `legacy` is an older header that carries the version alone."""

    service: str
    minimum: Version
    maximum: Version
    legacy: str = ""

    def negotiate(self, header: Callable[[str], str | None]) -> Version:
        """The version a request asks for; the minimum when it names none.

        Raises BadRequest for a malformed one, and with status 406 for one out of range.
        """
        asked = self._asked(header)
        if asked is None:
            return self.minimum
        if asked == "latest":
            return self.maximum
        found = re.fullmatch(r"([1-9]\d{0,8})\.(0|[1-9]\d{0,8})", asked)
        if not found:
            raise BadRequest(f"API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum.")
        version = (int(found[1]), int(found[2]))
        if not self.minimum <= version <= self.maximum:
            raise BadRequest(
                f"Version {asked} is not supported by the API. Minimum is {dotted(self.minimum)} "
                f"and maximum is {dotted(self.maximum)}.",
                status=406,
            )
        return version

    def headers(self, version: Version) -> dict[str, str]:
        """What the answer says about its version."""
        told = {"OpenStack-API-Version": f"{self.service} {dotted(version)}", "Vary": "OpenStack-API-Version"}
        if self.legacy:
            told[self.legacy] = dotted(version)
            told["Vary"] = f"OpenStack-API-Version, {self.legacy}"
        return told

    def _asked(self, header: Callable[[str], str | None]) -> str | None:
        for part in (header("OpenStack-API-Version") or "").split(","):
            service, _, version = part.strip().partition(" ")
            if service == self.service:
                return version.strip()
        return header(self.legacy) if self.legacy else None


def dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"

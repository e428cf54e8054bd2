"""Regular expressions that users send as filters, made harmless: none may take long on a name of 255 letters."""

import re
from collections.abc import Callable

from micronova.errors import BadRequest

_SPECIAL = re.compile(r"[\\^$.|?*+()\[\]{}]")
_REPEATS = re.compile(r"(?<!\\)[*+{]")
MOST_REPEATS = 2
MOST_LETTERS = 255


def matcher(text: str, field: str) -> Callable[[str], bool]:
    """A test whether a text contains what the filter describes, big and small letters alike.

    Raises BadRequest for what is no expression or could take long.
    """
    if not _SPECIAL.search(text):
        plain = text.lower()
        return lambda value: plain in value.lower()
    if len(text) > MOST_LETTERS or len(_REPEATS.findall(text)) > MOST_REPEATS or re.search(r"\)[*+{?]", text):
        raise BadRequest(f"Invalid filter {field}: the expression is too complex.")
    try:
        found = re.compile(text, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as err:
        raise BadRequest(f"Invalid filter {field}: {text!r} is not a regular expression.") from err
    return lambda value: found.search(value) is not None

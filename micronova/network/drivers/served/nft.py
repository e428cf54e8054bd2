"""nftables by its own library: one text, one transaction, applied whole or not at all."""

import ctypes
from ctypes import c_bool, c_char_p, c_int, c_uint32, c_void_p

from micronova.errors import DriverError

LIBRARY = "libnftables.so.1"
LONGEST_COMPLAINT = 400


class Nft:
    """A handle on the packet filter of the network namespace in which the calling thread makes it.

    Not for more than one thread at a time. Raises DriverError when the library is missing.
    """

    def __init__(self) -> None:
        self._library = _load()
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise DriverError("libnftables gave no handle", command="nft")
        self._library.nft_ctx_buffer_error(self._context)
        self._library.nft_ctx_buffer_output(self._context)

    def apply(self, text: str) -> str:
        """All commands of `text` took effect in one transaction; returns what they print.

        Raises DriverError when the kernel or nft refuses; then nothing has changed.
        """
        code = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
        told = self._library.nft_ctx_get_error_buffer(self._context) or b""
        printed: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
        if code != 0:
            raise DriverError(f"nft refused: {_shorten(told)}", command="nft")
        return printed.decode(errors="replace")

    def close(self) -> None:
        """The handle is given back."""
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None

    def __enter__(self) -> "Nft":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as err:
        raise DriverError(f"{LIBRARY} is missing: install the package nftables") from err
    library.nft_ctx_new.argtypes = [c_uint32]
    library.nft_ctx_new.restype = c_void_p
    library.nft_ctx_free.argtypes = [c_void_p]
    library.nft_ctx_free.restype = None
    library.nft_run_cmd_from_buffer.argtypes = [c_void_p, c_char_p]
    library.nft_run_cmd_from_buffer.restype = c_int
    for name in ("nft_ctx_buffer_error", "nft_ctx_buffer_output"):
        getattr(library, name).argtypes = [c_void_p]
        getattr(library, name).restype = c_bool
    for name in ("nft_ctx_get_error_buffer", "nft_ctx_get_output_buffer"):
        getattr(library, name).argtypes = [c_void_p]
        getattr(library, name).restype = c_char_p
    return library


def _shorten(told: bytes) -> str:
    lines = [line for line in told.decode(errors="replace").splitlines() if "rror" in line]
    return "; ".join(lines or ["no reason given"])[:LONGEST_COMPLAINT]

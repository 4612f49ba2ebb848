"""Tokens: what a worker shows to a broker that asks for OAUTHBEARER; somebody else keeps the file fresh."""

from pathlib import Path

from aiokafka.abc import AbstractTokenProvider


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Reads a token anew for every connection, as Kubernetes and its like renew it in place."""

    def __init__(self, path: Path) -> None:
        """Take the file that holds the token, and nothing else but blanks around it."""
        self._path = path

    async def token(self) -> str:
        """Return the token.

        Raises:
            OSError: if it cannot be read.
        """
        return self._path.read_text(encoding="utf-8").strip()

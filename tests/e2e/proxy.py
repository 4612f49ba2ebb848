"""A proxy before a broker, which delays, cuts and holds up what passes: the network on a bad day."""

import asyncio
import contextlib
import threading
from typing import Self

_BYTES = 65_536
_LOOK_SECONDS = 0.02


class Proxy:
    """Listens on a port of loopback, in a thread of its own; where to is said before anybody connects."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.upstream = ""
        self.delay = 0.0
        """Seconds that each piece waits, in either direction."""
        self.is_held = False
        """Whether connections stay, and nothing passes."""
        self.connections = 0
        """How many there were."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        async def close() -> None:
            self._server.close()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> int:
        """Reset every connection; return how many there were."""

        async def reset() -> int:
            writers = list(self._writers)
            for writer in writers:
                writer.transport.abort()
            return len(writers) // 2

        return asyncio.run_coroutine_threadsafe(reset(), self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if not self.upstream:
            writer.close()
            return
        host, _, port = self.upstream.partition(":")
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection(host, int(port))
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while piece := await reader.read(_BYTES):
                if self.delay:
                    await asyncio.sleep(self.delay)
                while self.is_held:  # noqa: ASYNC110  # what is waited for is set in another thread
                    await asyncio.sleep(_LOOK_SECONDS)
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

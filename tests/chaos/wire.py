"""The way between a browser and a web process, which a test may cut or let hang."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Wire:
    """Hands bytes on between `port` and a port of the site, both on this machine."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """End every connection without a goodbye, and let no new one begin."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def hang(self) -> None:
        """Hand nothing on: connections stay, and nobody is told."""
        self._flows.clear()

    def mend(self) -> None:
        self._is_cut = False
        self._flows.set()

    def renew(self) -> None:
        """Let new connections work; those that hang do so for ever."""
        self._flows = asyncio.Event()
        self._flows.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the browser."""
        if self._is_cut:
            writer.transport.abort()
            return
        flows = self._flows
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(_pump(reader, far_writer, flows), _pump(far_reader, writer, flows))
        finally:
            for end in (writer, far_writer):
                self._writers.discard(end)
                end.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            await flows.wait()
            writer.write(piece)
            await writer.drain()
    # whichever side ends, the other has nobody to talk to
    writer.close()


@asynccontextmanager
async def wire(target: int) -> AsyncIterator[Wire]:
    """A wire to this port of the site, for the duration of the block."""
    made = Wire(target)
    server = await asyncio.start_server(made.carry, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.cut()
        server.close()

"""An embeddings server that costs next to nothing and answers after a fixed time: `python -m ... --delay 0.05`.

Vectors are drawn from a pool by the text's checksum: the same text has the same vector, others have others. Prints its
port, then serves until ended. `GET /log` tells what was asked since the last `GET /reset`.
"""

import argparse
import asyncio
import base64
import zlib

import numpy as np
import orjson
from aiohttp import web

DIMENSIONS = 1536
_POOL = 4096


class Embeddings:
    """`delay` is in seconds, counted from when a request has come whole."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        drawn = np.random.default_rng(7).standard_normal((_POOL, DIMENSIONS), dtype=np.float32)
        self._vectors = [base64.b64encode(row.tobytes()).decode() for row in drawn]
        self._log: list[dict[str, int]] = []

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/embeddings", self.embed)
        app.router.add_get("/log", self.log)
        app.router.add_get("/reset", self.reset)
        return app

    async def embed(self, request: web.Request) -> web.Response:
        asked = orjson.loads(await request.read())
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        self._log.append({"texts": len(texts), "characters": sum(map(len, texts))})
        await asyncio.sleep(self._delay)
        rows = [{"index": at, "embedding": self._vector(text)} for at, text in enumerate(texts)]
        return web.Response(body=orjson.dumps({"data": rows, "model": asked["model"]}), content_type="application/json")

    def _vector(self, text: str) -> str:
        return self._vectors[zlib.crc32(text.encode()) % _POOL]

    async def log(self, _request: web.Request) -> web.Response:
        return web.json_response(self._log)

    async def reset(self, _request: web.Request) -> web.Response:
        self._log.clear()
        return web.json_response({})


async def serve(delay: float) -> None:
    runner = web.AppRunner(Embeddings(delay).application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.05, help="seconds")
    asyncio.run(serve(parser.parse_args().delay))


if __name__ == "__main__":
    main()

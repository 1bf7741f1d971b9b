"""The oracle's FastAPI application. Its endpoints are functions, which run on worker threads and do what `wsgi` does, or
coroutines, which do what `asgi` does: ENDPOINTS tells."""

import contextlib
import os

from fastapi import BackgroundTasks, FastAPI, Query, Response

import asgi
import steps
import wsgi


@contextlib.asynccontextmanager
async def lifespan(_):
    await asgi.stores.start()
    yield


app = FastAPI(lifespan=lifespan)


def function(mode: str, name: str, after: BackgroundTasks, wanted: str = Query(alias="steps")):
    wsgi.serve(mode, name, wanted)
    if mode == "background":
        after.add_task(wsgi.call, "r", f"bg{name}", len(steps.BACKGROUND))
    return Response(name)


async def coroutine(mode: str, name: str, after: BackgroundTasks, wanted: str = Query(alias="steps")):
    await asgi.work(mode, name, steps.parse(wanted))
    if mode == "background":
        after.add_task(asgi.call, "r", f"bg{name}", len(steps.BACKGROUND))
    return Response(name)


app.get("/{mode}/{name}")(function if os.environ["ENDPOINTS"] == "functions" else coroutine)

"""The oracle's FastAPI application: ENDPOINTS tells what its endpoints are. Functions run on worker threads and do what
`wsgi` does, coroutines do what `asgi` does, streams do a part of that while the body is sent. Before the endpoint come
MIDDLEWARES functions, each of which has what is inside of it run in a task of its own; the outermost does a request's
first step."""

import contextlib
import itertools
import os

from fastapi import BackgroundTasks, FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse

import asgi
import steps
import wsgi


@contextlib.asynccontextmanager
async def lifespan(_):
    await asgi.stores.start()
    yield


app = FastAPI(lifespan=lifespan)
middlewares = int(os.environ["MIDDLEWARES"])


def function(mode: str, name: str, after: BackgroundTasks, wanted: str = Query(alias="steps")):
    wsgi.serve(mode, name, steps.parse(wanted)[bool(middlewares):])
    if mode == "background":
        after.add_task(wsgi.call, "r", f"bg{name}", len(steps.BACKGROUND))
    return Response(name)


async def coroutine(mode: str, name: str, after: BackgroundTasks, wanted: str = Query(alias="steps")):
    await asgi.work(mode, name, steps.parse(wanted)[bool(middlewares):])
    if mode == "background":
        after.add_task(asgi.call, "r", f"bg{name}", len(steps.BACKGROUND))
    return Response(name)


async def stream(mode: str, name: str, after: BackgroundTasks, wanted: str = Query(alias="steps")):
    before, *within = steps.parse(wanted)[bool(middlewares):]

    async def body():
        yield name[:1]
        await asgi.work("plain", f"{name}_body", within)
        yield name[1:]

    await asgi.work(mode, name, [before])
    if mode == "background":
        after.add_task(asgi.call, "r", f"bg{name}", len(steps.BACKGROUND))
    return StreamingResponse(body(), headers={"content-length": str(len(name))})


async def first_step(request: Request, call_next):
    _, mode, name = request.url.path.split("/")
    await asgi.work("plain", f"{name}_first", steps.parse(request.query_params["steps"])[:1])
    return await call_next(request)


async def pass_on(request: Request, call_next):
    return await call_next(request)


# A task of anyio's cannot leave a group open.
if middlewares:
    asgi.NOBODY = itertools.repeat(asgi.forgotten)

# The last one comes first.
for number in reversed(range(middlewares)):
    app.middleware("http")(pass_on if number else first_step)
app.get("/{mode}/{name}")({"functions": function, "coroutines": coroutine, "streams": stream}[os.environ["ENDPOINTS"]])

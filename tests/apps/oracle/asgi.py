"""The oracle's ASGI application on asyncio: pools of POOL connections, a lock, tasks that the request waits for in
each of the usual ways, functions on threads, tasks that nobody waits for (some in a group left open), work after the
response."""

import asyncio
import itertools
import os
from urllib.parse import parse_qs

import aiomysql
import anyio
import httpx
import redis.asyncio as redis

import steps
import wsgi

size = int(os.environ["POOL"])
tasks = set()


class Stores:
    """The pools; they belong to the event loop."""

    group = None

    async def start(self):
        # What anyio does with asyncio is there when it is first used.
        async with anyio.create_task_group():
            pass
        self.sql = await aiomysql.create_pool(
            host="127.0.0.1", port=int(os.environ["DB_PORT"]), user=os.environ["DB_USER"],
            password=os.environ["DB_PASSWORD"], db=os.environ["DB_NAME"], minsize=1, maxsize=size, autocommit=True)
        pool = redis.BlockingConnectionPool(
            host="127.0.0.1", port=int(os.environ["REDIS_PORT"]), max_connections=size, timeout=30)
        self.redis = redis.Redis(connection_pool=pool)
        limits = httpx.Limits(max_connections=size)
        self.http = httpx.AsyncClient(base_url=os.environ["DOWNSTREAM"], limits=limits, timeout=60)
        self.lock = asyncio.Lock()


stores = Stores()


async def call(kind, name, number):
    if kind == "s":
        async with stores.sql.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(steps.sql(name, number))
            await cursor.fetchall()
    elif kind == "r":
        await stores.redis.get(steps.key(name, number))
    elif kind == "h":
        (await stores.http.get(steps.path(name, number))).raise_for_status()
    else:
        steps.log(name, number)


async def background(name):
    await asyncio.sleep(0.002)
    for number, kind in enumerate(steps.BACKGROUND):
        await call(kind, name, number)


async def forgotten(name):
    task = asyncio.create_task(background(name))
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def in_open_group(name):
    """The first request enters the group, and leaves it open for those that come."""
    if stores.group is None:
        stores.group = anyio.create_task_group()
        await stores.group.__aenter__()
    stores.group.start_soon(background, name)


NOBODY = itertools.cycle([in_open_group, forgotten])


async def gather(calls):
    await asyncio.gather(*calls)


async def one_after_the_other(calls):
    for task in [asyncio.create_task(call) for call in calls]:
        await task


async def in_time(calls):
    await asyncio.gather(*(asyncio.wait_for(call, 30) for call in calls))


async def grouped(calls):
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(call)


async def in_anyio_group(calls):
    async def run(call):
        await call

    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(run, call)


WAYS = itertools.cycle([gather, in_time, in_anyio_group] + [grouped] * hasattr(asyncio, "TaskGroup"))


async def on_threads(name, calls):
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, wsgi.call, "r", f"bg{name}", len(steps.BACKGROUND))
    await asyncio.to_thread(wsgi.call, *calls[0])
    await loop.run_in_executor(None, wsgi.call, *calls[1])
    await asyncio.gather(asyncio.to_thread(wsgi.call, *calls[2]), loop.run_in_executor(None, wsgi.call, *calls[3]))


async def work(mode, name, wanted):
    if mode == "threads":
        await on_threads(name, [(kind, f"th{name}", number) for number, kind in enumerate(steps.CHILDREN)])
    if mode == "background":
        await next(NOBODY)(f"bg{name}")
    if mode == "children":
        await next(WAYS)([call(kind, f"ga{name}", number) for number, kind in enumerate(steps.CHILDREN)])
    if mode == "ahead":
        await one_after_the_other([call(kind, f"ah{name}", number) for number, kind in enumerate(steps.CHILDREN)])
    for number, (kind, pause) in enumerate(wanted):
        await asyncio.sleep(pause)
        if mode == "lock":
            async with stores.lock:
                await call(kind, name, number)
        else:
            await call(kind, name, number)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await stores.start()
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    _, mode, name = scope["path"].split("/")
    wanted = steps.parse(parse_qs(scope["query_string"].decode())["steps"][0])
    await work(mode, name, wanted)
    body = name.encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    if mode == "background":
        await call("r", f"bg{name}", len(steps.BACKGROUND))

"""The oracle's WSGI application, for threads and for greenlets: pools of POOL connections, a lock, an executor in a
request or greenlets that it waits for, threads that nobody waits for."""

import concurrent.futures
import itertools
import os
import select
import sys
import threading
import time

import pymysql
import redis
import requests
from flask import Flask, request

import steps

app = Flask(__name__)
size = int(os.environ["POOL"])
lock = threading.Lock()
room = threading.BoundedSemaphore(size)
connections = []
stores = redis.Redis(connection_pool=redis.BlockingConnectionPool(
    host="127.0.0.1", port=int(os.environ["REDIS_PORT"]), max_connections=size, timeout=30))
session = requests.Session()
session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=size, pool_maxsize=size, pool_block=True))


def connect():
    return pymysql.connect(
        host="127.0.0.1", port=int(os.environ["DB_PORT"]), user=os.environ["DB_USER"],
        password=os.environ["DB_PASSWORD"], database=os.environ["DB_NAME"], autocommit=True)


def query(text):
    with room:
        try:
            used = connections.pop()
        except IndexError:
            used = connect()
        with used.cursor() as cursor:
            cursor.execute(text)
            cursor.fetchall()
        connections.append(used)


def call(kind, name, number):
    if kind == "s":
        query(steps.sql(name, number))
    elif kind == "r":
        stores.get(steps.key(name, number))
    elif kind == "h":
        session.get(os.environ["DOWNSTREAM"] + steps.path(name, number)).raise_for_status()
    else:
        steps.log(name, number)


def background(name):
    time.sleep(0.002)
    for number, kind in enumerate(steps.BACKGROUND):
        call(kind, name, number)


def on_threads(calls):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda wanted: call(*wanted), calls))


def on_threads_of_threads(calls):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda wanted: on_threads([wanted]), calls))


def joined(calls):
    gevent.joinall([gevent.spawn(call, *wanted) for wanted in calls], raise_error=True)


def waited_for(calls):
    for done in gevent.iwait([gevent.spawn(call, *wanted) for wanted in calls]):
        done.get()


def nested(calls):
    """Greenlets that wait for greenlets; with links that only want to be told."""
    def outer(wanted):
        inner = gevent.spawn(call, *wanted)
        inner.link(lambda _: None)
        inner.join()
    gevent.wait([gevent.spawn(outer, wanted) for wanted in calls])


def in_pool(calls):
    pool = gevent.pool.Pool(2)
    for wanted in calls:
        pool.apply(call, wanted)


gevent = sys.modules.get("gevent")
if gevent:
    import gevent.pool
WAYS = itertools.cycle([joined, waited_for, nested, in_pool] if gevent else [on_threads, on_threads_of_threads])


def doze(seconds):
    """As `time.sleep` does before CPython 3.11."""
    select.select([], [], [], seconds)


SLEEPS = itertools.cycle([time.sleep, doze])


def serve(mode, name, wanted):
    if mode == "background":
        threading.Thread(target=background, args=[f"bg{name}"]).start()
    if mode == "children":
        next(WAYS)([(kind, f"ga{name}", number) for number, kind in enumerate(steps.CHILDREN)])
    for number, (kind, pause) in enumerate(wanted):
        next(SLEEPS)(pause)
        if mode == "lock":
            with lock:
                call(kind, name, number)
        else:
            call(kind, name, number)


@app.get("/<mode>/<name>")
def work(mode, name):
    serve(mode, name, steps.parse(request.args["steps"]))
    return name

"""The oracle's WSGI application, for threads and for greenlets: pools of POOL connections, a lock, an executor in a
request, threads that nobody waits for."""

import concurrent.futures
import os
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


def serve(mode, name, wanted):
    if mode == "background":
        threading.Thread(target=background, args=[f"bg{name}"]).start()
    if mode == "children":
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda child: call(child[1], f"ga{name}", child[0]), enumerate(steps.CHILDREN)))
    for number, (kind, pause) in enumerate(wanted):
        time.sleep(pause)
        if mode == "lock":
            with lock:
                call(kind, name, number)
        else:
            call(kind, name, number)


@app.get("/<mode>/<name>")
def work(mode, name):
    serve(mode, name, steps.parse(request.args["steps"]))
    return name

"""redis-py: a pool under several threads, pipelines, transactions, pub/sub, in RESP2 (`2`) or RESP3 (`3`)."""

import os
import sys
import threading

import redis
from account import Account

account = Account()
protocol = int(sys.argv[1])
prefix = f"py{protocol}"



class Connection(redis.Connection):
    """Counts how many there are."""

    made = 0

    def _connect(self):
        with lock:
            Connection.made += 1
        return super()._connect()


lock = threading.Lock()
pool = redis.ConnectionPool(
    connection_class=Connection, host="127.0.0.1", port=int(os.environ["REDIS_PORT"]), protocol=protocol
)
client = redis.Redis(connection_pool=pool)


def work(thread):
    """What one thread of the application does."""
    own = Account()
    for number in range(60):
        key = f"{prefix}:{thread}:{number}"
        client.set(key, "planted-value")
        assert client.get(key) == b"planted-value"
        client.hset(f"{prefix}:hash", mapping={f"{thread}-{number}": number, "other": "planted"})
    own.add("SET", 60)
    own.add("GET", 60)
    own.add("HSET", 60)
    with lock:
        account.counts.update(own.counts)


threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

# 50 commands of 200 bytes and more in one write, each with a reply of its own.
with client.pipeline(transaction=False) as pipeline:
    for number in range(50):
        pipeline.set(f"{prefix}:pipe:{number}", "planted-" + "x" * 192)
    assert pipeline.execute() == [True] * 50
account.add("SET", 50)

with client.pipeline(transaction=True) as pipeline:
    for number in range(10):
        pipeline.incr(f"{prefix}:counter")
    assert len(pipeline.execute()) == 10
account.add("MULTI")
account.add("EXEC")
account.add("INCRBY", 10)

try:
    client.lpush(f"{prefix}:hash", "planted")
except redis.ResponseError as error:
    account.add("LPUSH", error=str(error).split()[0])

subscription = client.pubsub()
subscription.subscribe(f"{prefix}:channel")
assert subscription.get_message(timeout=10)["type"] == "subscribe"
account.add("SUBSCRIBE")
for number in range(20):
    assert client.publish(f"{prefix}:channel", "planted-message") == 1
account.add("PUBLISH", 20)
for number in range(20):
    assert subscription.get_message(timeout=10)["data"] == b"planted-message"
subscription.unsubscribe(f"{prefix}:channel")
assert subscription.get_message(timeout=10)["type"] == "unsubscribe"
account.add("UNSUBSCRIBE")
subscription.close()

# What the driver says of itself on a new connection; Redis 7.0 knows nothing of it.
if protocol == 3:
    account.add("HELLO", Connection.made)
account.add("CLIENT", Connection.made * protocol, error="ERR")
account.write()

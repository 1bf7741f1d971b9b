"""redis-py: values and replies longer than what is captured of a call at once, with short commands between them."""

import os

import redis
from account import Account

LONG = "planted-" + "x" * 150_000
ROUNDS = 8

account = Account()
client = redis.Redis(host="127.0.0.1", port=int(os.environ["REDIS_PORT"]), protocol=2)

for each in range(ROUNDS):
    assert client.set(f"long:{each}", LONG)
    assert client.get(f"long:{each}") == LONG.encode()
    # Boundaries far from both ends of what the server reads in one call.
    assert client.mset({f"a:{each}": LONG[:90_000], f"b:{each}": "planted", f"c:{each}": LONG[:90_000]})
    assert client.strlen(f"b:{each}") == len("planted")
    with client.pipeline(transaction=False) as pipeline:
        pipeline.set(f"d:{each}", LONG[:70_000])
        for number in range(20):
            pipeline.incr(f"counter:{number}")
            pipeline.set(f"e:{each}:{number}", LONG[:3_000])
        pipeline.execute()
    # Replies that the server writes from several pieces.
    with client.pipeline(transaction=False) as pipeline:
        for number in range(20):
            pipeline.get(f"e:{each}:{number}")
            pipeline.exists(f"counter:{number}")
        assert len(pipeline.execute()) == 40
account.add("SET", ROUNDS * 22)
account.add("GET", ROUNDS * 21)
account.add("MSET", ROUNDS)
account.add("STRLEN", ROUNDS)
account.add("INCRBY", ROUNDS * 20)
account.add("EXISTS", ROUNDS * 20)
# What the driver says of itself on a new connection; Redis 7.0 knows nothing of it.
account.add("CLIENT", 2, error="ERR")
account.write()

"""Python's http.client: uploads in chunks, one after the other on one connection, and answers to HEAD."""

import http.client
import json
import os

from account import Account

account = Account()
connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["HTTP_PORT"]))


def chunks(number):
    """Parts of many sizes, from a few bytes to some thousand."""
    for each in range(number % 7 + 1):
        yield b"planted " * (number * each * 10 + 1)


for number in range(60):
    connection.request("POST", "/upload?sig=planted", body=chunks(number), encode_chunked=True)
    response = connection.getresponse()
    assert json.loads(response.read())["size"] == sum(map(len, chunks(number)))
    account.add(f"POST {response.status}")
    connection.request("HEAD", "/hello")
    response = connection.getresponse()
    assert response.read() == b""
    account.add(f"HEAD {response.status}")

account.write()

"""PyMySQL, made to read 500 kilobytes in one call: more than is captured of any call."""

import array
import fcntl
import os
import socket
import termios

import pymysql
from account import Account
from pymysql.constants import COMMAND

PILED_UP = 500_000
# `socket(7)`: beyond what the system allows; Python has no name for it.
SO_RCVBUFFORCE = 33

account = Account()
connection = pymysql.connect(
    host="127.0.0.1",
    port=int(os.environ["DB_PORT"]),
    user=os.environ["DB_USER"],
    password=os.environ["DB_PASSWORD"],
    database=os.environ["DB_NAME"],
)
account.add("SET", times=2)
connection._sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 * PILED_UP)
connection._rfile = connection._sock.makefile("rb", buffering=8 * 1024 * 1024)
connection._execute_command(COMMAND.COM_QUERY, "SELECT id, name FROM many")
waiting = array.array("i", [0])
while waiting[0] < PILED_UP:
    fcntl.ioctl(connection._sock, termios.FIONREAD, waiting)
assert connection._read_query_result() == 100_000
# How many rows there were cannot be told.
account.add("SELECT many")
cursor = connection.cursor()
for least in range(0, 300, 6):
    account.add("SELECT items", rows=cursor.execute("SELECT id, name FROM items WHERE id > %s", (least,)))
connection.close()
account.write()

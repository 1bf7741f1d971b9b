"""PyMySQL: text protocol, values put into the statement by the client."""

import os

import pymysql
from account import Account

account = Account()
connections = 4

for number in range(connections):
    connection = pymysql.connect(
        host="127.0.0.1",
        port=int(os.environ["DB_PORT"]),
        user=os.environ["DB_USER"],
        password=os.environ["DB_PASSWORD"],
        database=os.environ["DB_NAME"],
    )
    # What the driver sets on a new connection.
    account.add("SET", times=2)
    cursor = connection.cursor()
    for least in range(0, 300, 6):
        rows = cursor.execute("SELECT id, name FROM items WHERE id > %s", (least,))
        assert rows == len(cursor.fetchall())
        account.add("SELECT items", rows=rows)
    values = [(f"planted-{number}-{each}", each) for each in range(40)]
    assert cursor.executemany("INSERT INTO notes (body, size) VALUES (%s, %s)", values) == len(values)
    account.add("INSERT notes")
    assert cursor.execute("UPDATE notes SET size = %s WHERE body = %s", (7, f"planted-{number}-3")) == 1
    account.add("UPDATE notes")
    connection.commit()
    account.add("COMMIT")
    try:
        cursor.execute("SELECT 'planted' FROM missing")
    except pymysql.err.ProgrammingError as error:
        account.add("SELECT missing", error=error.args[0])
    connection.rollback()
    account.add("ROLLBACK")
    connection.ping()
    account.add("PING")
    unbuffered = connection.cursor(pymysql.cursors.SSCursor)
    unbuffered.execute("SELECT id, name FROM items ORDER BY id")
    account.add("SELECT items", rows=sum(1 for _ in unbuffered))
    unbuffered.close()
    connection.close()

account.write()

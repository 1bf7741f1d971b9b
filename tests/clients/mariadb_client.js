// mariadb for Node: it sends the next command before the last one is answered, and many rows in one.
"use strict";

const mariadb = require("mariadb");
const { Account } = require("./account");

async function main() {
  const account = new Account();
  const connection = await mariadb.createConnection({
    host: "127.0.0.1",
    port: Number(process.env.DB_PORT),
    user: process.env.DB_USER,
    password: process.env.DB_PASSWORD,
    database: process.env.DB_NAME,
  });
  // What the driver sets on a new connection.
  account.add("SET");
  const texts = Array.from({ length: 100 }, async (_, number) => {
    const rows = await connection.query("SELECT id, name FROM items WHERE id > ?", [number]);
    account.add("SELECT items", { rows: rows.length });
  });
  await Promise.all(texts);
  const prepared = await connection.prepare("SELECT name FROM items WHERE id > ?");
  account.add("PREPARE SELECT items");
  const executed = Array.from({ length: 100 }, async (_, number) => {
    const rows = await prepared.execute([number]);
    account.add("SELECT items", { rows: rows.length });
  });
  await Promise.all(executed);
  const values = Array.from({ length: 200 }, (_, number) => [`planted-${number}`, number]);
  const result = await connection.batch("INSERT INTO notes (body, size) VALUES (?, ?)", values);
  if (result.affectedRows !== values.length) throw new Error("not inserted");
  account.add("PREPARE INSERT notes");
  account.add("INSERT notes");
  await connection.query("SELECT 'planted' FROM missing").catch((error) => {
    account.add("SELECT missing", { error: error.errno });
  });
  await connection.changeUser({ user: process.env.DB_USER, password: process.env.DB_PASSWORD });
  account.add("CHANGE_USER");
  await connection.ping();
  account.add("PING");
  await connection.reset();
  account.add("RESET_CONNECTION");
  await connection.end();
  account.write();
}

main();

// mysql2: a pool, text queries and statements prepared on the server, many at a time.
"use strict";

const mysql = require("mysql2/promise");
const { Account } = require("./account");

const CONCURRENT = 200;

async function main() {
  const account = new Account();
  const connections = [];
  const pool = mysql.createPool({
    host: "127.0.0.1",
    port: Number(process.env.DB_PORT),
    user: process.env.DB_USER,
    password: process.env.DB_PASSWORD,
    database: process.env.DB_NAME,
    connectionLimit: 4,
  });
  pool.pool.on("connection", (connection) => connections.push(connection));

  const texts = Array.from({ length: CONCURRENT }, async (_, number) => {
    const [rows] = await pool.query("SELECT id, name FROM items WHERE id > ?", [number]);
    account.add("SELECT items", { rows: rows.length });
  });
  const prepared = Array.from({ length: CONCURRENT }, async (_, number) => {
    const [rows] = await pool.execute("SELECT name FROM items WHERE id > ?", [number]);
    account.add("SELECT items", { rows: rows.length });
  });
  const inserts = Array.from({ length: 20 }, async (_, number) => {
    const [result] = await pool.execute("INSERT INTO notes (body, size) VALUES (?, ?)", ["planted", number]);
    if (result.affectedRows !== 1) throw new Error("not inserted");
    account.add("INSERT notes");
  });
  await Promise.all([...texts, ...prepared, ...inserts]);
  try {
    await pool.query("SELECT 'planted' FROM missing");
  } catch (error) {
    account.add("SELECT missing", { error: error.errno });
  }
  // Each connection prepares a statement when it first meets it.
  for (const connection of connections) {
    for (const key of connection._statements.keys()) {
      account.add(key.includes("INSERT") ? "PREPARE INSERT notes" : "PREPARE SELECT items");
    }
  }
  await pool.end();
  account.write();
}

main();

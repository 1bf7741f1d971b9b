// The oracle's application on Node: as `steps.py` says, with pools of POOL connections and a lock.
"use strict";

const http = require("http");
const Redis = require("ioredis");
const mysql = require("mysql2/promise");

const CHILDREN = ["s", "r", "h", "l"];
const BACKGROUND = ["r", "l", "s"];

const size = Number(process.env.POOL);
const database = mysql.createPool({
  host: "127.0.0.1",
  port: Number(process.env.DB_PORT),
  user: process.env.DB_USER,
  password: process.env.DB_PASSWORD,
  database: process.env.DB_NAME,
  connectionLimit: size,
});
const redis = new Redis(Number(process.env.REDIS_PORT), "127.0.0.1");
const agent = new http.Agent({ keepAlive: true, maxSockets: size });
let lock = Promise.resolve();

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const fetched = (path) =>
  new Promise((resolve, reject) => {
    const request = http.get(process.env.DOWNSTREAM + path, { agent }, (response) => {
      response.resume();
      response.on("end", resolve);
    });
    request.on("error", reject);
  });

async function call(kind, name, number) {
  if (kind === "s") await database.query(`SELECT ${number} AS ${name}_${number}`);
  else if (kind === "r") await redis.get(`${name}:${number}`);
  else if (kind === "h") await fetched(`/down/${name}/${number}`);
  else process.stdout.write(`INFO line ${name}_${number}\n`);
}

function locked(work) {
  const done = lock.then(work);
  lock = done.catch(() => {});
  return done;
}

async function background(name) {
  await sleep(2);
  for (const [number, kind] of BACKGROUND.entries()) await call(kind, name, number);
}

async function work(mode, name, steps) {
  if (mode === "background") background(`bg${name}`);
  if (mode === "children") await Promise.all(CHILDREN.map((kind, number) => call(kind, `ga${name}`, number)));
  for (const [number, step] of steps.entries()) {
    await sleep(Number(step.slice(1)));
    const own = () => call(step[0], name, number);
    await (mode === "lock" ? locked(own) : own());
  }
}

http
  .createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    const [, mode, name] = url.pathname.split("/");
    work(mode, name, url.searchParams.get("steps").split(",")).then(
      () => response.end(name),
      (error) => {
        response.statusCode = 500;
        response.end(String(error));
      },
    );
  })
  .listen(Number(process.env.PORT), "127.0.0.1");

// ioredis: hundreds of requests at once on one socket, a pipeline, a transaction.
"use strict";

const Redis = require("ioredis");
const { Account } = require("./account");

async function main() {
  const account = new Account();
  const client = new Redis({ host: "127.0.0.1", port: Number(process.env.REDIS_PORT) });
  await new Promise((resolve) => client.once("ready", resolve));
  // Whether the server has loaded its data; and which client this is, of which Redis 7.0 knows nothing.
  account.add("INFO");
  account.add("CLIENT", { times: 2, error: "ERR" });

  const requests = Array.from({ length: 300 }, async (_, number) => {
    await client.set(`io:${number}`, "planted-value");
    account.add("SET");
    if ((await client.get(`io:${number}`)) !== "planted-value") throw new Error("another's reply");
    account.add("GET");
  });
  await Promise.all(requests);

  const pipeline = client.pipeline();
  for (let number = 0; number < 50; number++) pipeline.set(`io:pipe:${number}`, "planted-" + "x".repeat(192));
  await pipeline.exec();
  account.add("SET", { times: 50 });

  const transaction = client.multi();
  for (let number = 0; number < 10; number++) transaction.incr("io:counter");
  await transaction.exec();
  account.add("MULTI");
  account.add("INCR", { times: 10 });
  account.add("EXEC");

  await client.lpush("io:0", "planted").catch((error) => {
    account.add("LPUSH", { error: error.message.split(" ")[0] });
  });
  await client.quit();
  account.add("QUIT");
  account.write();
}

main();

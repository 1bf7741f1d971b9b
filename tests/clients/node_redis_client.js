// node-redis: hundreds of requests at once on one socket, which it writes together; RESP2 (`2`) or RESP3 (`3`).
"use strict";

const { createClient } = require("redis");
const { Account } = require("./account");

async function main() {
  const account = new Account();
  const RESP = Number(process.argv[2]);
  const client = createClient({ socket: { host: "127.0.0.1", port: Number(process.env.REDIS_PORT) }, RESP });
  await client.connect();
  // In one write.
  account.add("HELLO");
  account.add("CLIENT", { times: RESP });

  const requests = Array.from({ length: 100 }, async (_, number) => {
    await client.set(`node:${RESP}:${number}`, "planted-value");
    account.add("SET");
    if ((await client.get(`node:${RESP}:${number}`)) !== "planted-value") throw new Error("another's reply");
    account.add("GET");
  });
  await Promise.all(requests);

  const transaction = client.multi();
  for (let number = 0; number < 10; number++) transaction.incr(`node:${RESP}:counter`);
  await transaction.exec();
  account.add("MULTI");
  account.add("INCR", { times: 10 });
  account.add("EXEC");

  await client.lPush(`node:${RESP}:0`, "planted").catch((error) => {
    account.add("LPUSH", { error: error.message.split(" ")[0] });
  });
  await client.close();
  account.write();
}

main();

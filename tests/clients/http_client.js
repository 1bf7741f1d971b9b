// Node's http with an agent that keeps connections: many requests at a time over few of them.
"use strict";

const http = require("http");
const { Account } = require("./account");

const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
const account = new Account();

function send(method, path, body) {
  return new Promise((resolve, reject) => {
    const options = { agent, method, host: "127.0.0.1", port: Number(process.env.HTTP_PORT), path };
    const request = http.request(options, (response) => {
      response.resume();
      response.on("end", () => {
        account.add(`${method} ${response.statusCode}`);
        resolve();
      });
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function main() {
  const gets = Array.from({ length: 200 }, (_, number) => send("GET", `/item/${number}?sig=planted`));
  const posts = Array.from({ length: 50 }, (_, number) => send("POST", "/upload", "planted ".repeat(number * 40)));
  const absent = Array.from({ length: 10 }, () => send("GET", "/absent"));
  await Promise.all([...gets, ...posts, ...absent]);
  agent.destroy();
  account.write();
}

main();

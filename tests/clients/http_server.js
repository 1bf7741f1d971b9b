// An HTTP server in Node: says hello, and takes uploads of any framing. PORT says where.
"use strict";

const http = require("http");

http
  .createServer((request, response) => {
    let size = 0;
    request.on("data", (bytes) => (size += bytes.length));
    request.on("end", () => {
      response.statusCode = request.url.startsWith("/absent") ? 404 : 200;
      response.setHeader("Set-Cookie", "session=planted-cookie");
      response.end(JSON.stringify({ size }));
    });
  })
  .listen(Number(process.env.PORT), "127.0.0.1");

// A client's own account of what it did; as in account.py.
"use strict";

const fs = require("fs");

class Account {
  counts = {};

  add(name, { times = 1, rows, error } = {}) {
    let entry = name;
    if (rows !== undefined) entry += ` rows=${rows}`;
    if (error !== undefined) entry += ` error=${error}`;
    this.counts[entry] = (this.counts[entry] ?? 0) + times;
  }

  // Into the file that the test reads: standard output is a log to the tracer.
  write() {
    fs.writeFileSync(process.env.ACCOUNT, JSON.stringify(this.counts));
  }
}

module.exports = { Account };

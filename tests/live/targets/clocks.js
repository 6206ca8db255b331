// Prints the wall clock and the monotonic clock as Node reads them.
'use strict';
setInterval(() => {
  const mono = process.hrtime.bigint();
  const rt = BigInt(Date.now()) * 1000000n;
  const text = (ns) => `${ns / 1000000000n}.${String(ns % 1000000000n).padStart(9, '0')}`;
  process.stdout.write(`rt ${text(rt)} mono ${text(mono)}\n`);
}, 20);

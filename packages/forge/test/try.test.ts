import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'vitest';
import { openDump, bytesSource, Memory, va } from '@dumpscope/core';
import { forge, checkScenario } from '../src/index.ts';
test('x', () => {
  const s = checkScenario(JSON.parse(readFileSync('/tmp/fg/S01raw.json', 'utf8')));
  const r = forge(s, { read: () => undefined });
  writeFileSync('/tmp/fg/s01.dmp', r.bytes!);
  const d = openDump(bytesSource(r.bytes!));
  console.log(d.kind, d.header, d.problems, d.complete, d.physical?.pageCount);
  const m = new Memory(d.memory());
  for (const a of [0xa07be1f4n,0xa07be200n,0xa07be204n,0x831dabf4n,0xc0000000n,0xc0600000n, 0xffdff120n, 0x7ffa3018n, 0x8055a380n]) console.log(a.toString(16), m.u32(a)?.toString(16), m.gap(a,4)?.reason);
});

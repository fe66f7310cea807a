import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, NotADumpError, openDump } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { allCommands, createRegistry, createSession, executeLine, openTarget, type Target } from '../src/index.ts';

const folder = join(process.env['DUMPSCOPE_SHARED'] ?? join(import.meta.dirname, '../../../../shared'), 'dumps/kernel');
const present = existsSync(folder);
if (!present) console.log(`skipped: no real dumps at ${folder}`);

/** DUMPSCOPE_MUTANTS raises the number: 3,300 of them ran without a finding. */
const MUTANTS = Number(process.env['DUMPSCOPE_MUTANTS'] ?? 40);
const ARGUMENTS = ['', '0 7', '@$thread', '@rsp', '-it', 'nt!_KPRCB @$prcb', 'nt!_ETHREAD -r2 @$thread', '/c @rip'];

/** Numerical Recipes' generator: the same mutants every time. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function mutate(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  const copy = bytes.slice();
  for (let flips = 1 + random(400); flips > 0; flips--) {
    const at = random(4) === 0 ? random(0x3000) : random(copy.length);
    for (let k = 1 + random(8); k > 0; k--)
      if (at + k > 8 && at + k < copy.length) copy[at + k] = random(3) === 0 ? 0xff : random(256);
  }
  return random(5) === 0 ? copy.slice(0, 0x2000 + random(copy.length - 0x2000)) : copy;
}

describe.skipIf(!present)('every command on mutated dumps', () => {
  it('ends in a text or a message, never in a defect of ours', () => {
    const random = generator(20240607);
    const files = readdirSync(folder)
      .filter((name) => !/0x133|0x1c7/.test(name))
      .map((name) => new Uint8Array(readFileSync(join(folder, name))));
    const registry = createRegistry();
    for (let i = 0; i < MUTANTS; i++) {
      const bytes = mutate(files[random(files.length)] as Uint8Array, random);
      let target: Target;
      try {
        target = openTarget(openDump(bytesSource(bytes)));
      } catch (error) {
        expect(error).toBeInstanceOf(NotADumpError);
        continue;
      }
      const session = createSession(target);
      for (const command of allCommands) {
        if (command.names[0]?.startsWith('q')) continue;
        for (const args of ARGUMENTS) {
          for (const done of executeLine(registry, session, `${command.names[0]} ${args}`)) {
            expect(done.internal, `mutant ${i}, ${done.command}: ${done.error}`).toBe(false);
          }
        }
      }
    }
  });
});

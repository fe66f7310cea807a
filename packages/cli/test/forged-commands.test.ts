import { bytesSource, openDump } from '@dumpscope/core';
import { prepareArm64 } from '@dumpscope/cpu';
import { allCommands, createRegistry, createSession, executeLine, openTarget } from '@dumpscope/debugger';
import { ForgeError, forge, listScenarios, loadScenario, type Scenario } from '@dumpscope/forge';
import { beforeAll, describe, expect, it } from 'vitest';
import { imageFiles, scenarioFiles } from '../src/forge/shipped.ts';

const KINDS = ['full', 'triage', 'kernel-summary', 'bitmap-kernel', 'range-full'] as const;

/** One shipped scenario for each architecture and build: the commands depend on these, not on what is wrong. */
function representatives(): Scenario[] {
  const files = scenarioFiles(null);
  const chosen = new Map<string, Scenario>();
  for (const { name } of listScenarios(files)) {
    const scenario = loadScenario(name, files);
    const key = `${scenario.arch} ${scenario.build}`;
    if (!chosen.has(key)) chosen.set(key, scenario);
  }
  return [...chosen.values()];
}

function argumentsOf(sp: string): string[] {
  return [
    '',
    '-1',
    '0 0',
    '0 7',
    '@$thread',
    '@$proc',
    sp,
    '.',
    '1',
    '-v',
    '*!*Spin*',
    `${sp} L40`,
    '-it',
    `0 ${sp}`,
    '/c .',
    'nt!_KPRCB @$prcb',
    'nt!_ETHREAD -r2 @$thread',
    `-b nt!_LIST_ENTRY ${sp}`,
    '(nt!_EPROCESS *)@$proc',
  ];
}

beforeAll(prepareArm64);

describe('every command on forged dumps', () => {
  const cases = representatives().flatMap((scenario) => KINDS.map((kind) => [scenario.id, kind, scenario] as const));
  it.each(cases)('%s as %s', (_id, kind, scenario) => {
    let bytes: Uint8Array | null;
    try {
      bytes = forge({ ...scenario, dump: kind }, imageFiles(null)).bytes;
    } catch (error) {
      // Not every kind exists for every architecture; the forge says so.
      expect(error).toBeInstanceOf(ForgeError);
      return;
    }
    const target = openTarget(openDump(bytesSource(bytes as Uint8Array, `${scenario.id}.dmp`)));
    const registry = createRegistry();
    const session = createSession(target);
    const run = (line: string): { text: string; error: string | null }[] =>
      [...executeLine(registry, session, line)].map((done) => {
        expect(done.internal, `${done.command}: ${done.error}`).toBe(false);
        return { text: done.text, error: done.error };
      });
    for (const command of allCommands) {
      for (const name of command.names) {
        if (name.startsWith('q')) continue;
        for (const args of argumentsOf(target.arch === 'arm64' ? '@sp' : target.arch === 'x86' ? '@esp' : '@rsp')) {
          run(`${name} ${args}`);
          run('.cxr; .process; .thread; .expr /s masm; n 16');
        }
      }
    }
    // What any dump with processors must answer.
    for (const line of ['k', 'r', '.bugcheck', 'lm', '~', '!thread', 'vertarget']) {
      for (const { text, error } of run(line)) expect([error, text !== ''], `${line}: ${error}`).toEqual([null, true]);
    }
  });
});

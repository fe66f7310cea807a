/** FAILURE_BUCKET_ID of `!analyze`: the forms that WinDbg prints. */
import { bytesSource, openDump } from '@dumpscope/core';
import { openTarget } from '@dumpscope/debugger';
import * as diagnose from '@dumpscope/diagnose';
import { forge, loadScenario, type Scenario } from '@dumpscope/forge';
import { expect, it } from 'vitest';
import { analyzeVerdict } from '../src/debug/verdict.ts';
import { imageFiles, scenarioFiles } from '../src/forge/shipped.ts';

const io = { out: () => undefined, err: () => undefined } as never;

function bucket(name: string, patch: Partial<Scenario> = {}): string | null {
  const scenario = { ...loadScenario(name, scenarioFiles(null)), ...patch };
  const bytes = forge(scenario, imageFiles(null)).bytes as Uint8Array;
  return analyzeVerdict(openTarget(openDump(bytesSource(bytes, 'x.dmp'))), diagnose, io).bucket;
}

it.each([
  ['C-3b-null', 'AV_(null)_crashdrv!Fault'],
  ['C-24-ntfs', 'AV_(null)_crashdrv!Fault'],
  ['C-d1-unmapped', 'AV_crashdrv!Fault'],
  ['C-7e-inside', '0x7E_c000001d_dpcdrv!unknown_function'],
  ['S01a', '0xE2_self-deadlock_MyDriver!unknown_function'],
] as const)('%s: %s', (name, expected) => {
  expect(bucket(name)).toBe(expected);
});

it('tells a write from a read', () => {
  const { header } = loadScenario('C-d1-unmapped', scenarioFiles(null));
  const [address = 0, irql = 0, , pc = 0] = header?.bugcheck?.parameters ?? [];
  const written = { ...header, bugcheck: { code: 'd1', parameters: [address, irql, 1, pc] } };
  expect(bucket('C-d1-unmapped', { header: written as never })).toMatch(/^AV_W_/);
});

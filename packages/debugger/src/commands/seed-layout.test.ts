import { join } from 'node:path';
import type { Rva } from '@dumpscope/core';
import type { ModuleDebugInfo, TypeRef } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { fakeTypes } from '../../test/fake-scope.ts';
import { expectGolden } from '../../test/golden.ts';
import { seedTarget } from '../../test/seed-target.ts';
import { createRegistry } from './all-commands.ts';
import { executeLine } from './line/execute.ts';
import { createSession } from './session/session.ts';

const goldens = join(import.meta.dirname, 'goldens');
const registry = createRegistry();

/** Runs a line on the seed's state and gives a log with prompts, as a terminal would show it. */
function log(...lines: string[]): string {
  const session = createSession(seedTarget());
  let text = '';
  for (const line of lines) {
    for (const done of executeLine(registry, session, line)) {
      expect(done.internal, `${done.command}: ${done.error}`).toBe(false);
      text += `${done.prompt}${done.command}\n${done.text}${done.error === null ? '' : `${done.error}\n`}`;
    }
  }
  return text;
}

describe("the seed's commands on the seed's values", () => {
  it.each([
    ['thread.txt', ['!thread', '!thread 830c07c0 0']],
    ['trap.txt', ['.trap a07be180', 'r', 'r eax,zf', 'k', 'kv', '.trap']],
    [
      'uf.txt',
      [
        '.asm no_code_bytes',
        'uf hal!KeAcquireInStackQueuedSpinLock',
        '.asm- no_code_bytes',
        'uf hal!KeAcquireInStackQueuedSpinLock',
        'u 806e4a2c L4',
        'ub 806e4a37 L2',
      ],
    ],
    [
      'memory.txt',
      [
        '.trap a07be180',
        'dyd eax+4 l1',
        'dyb eax+4 l4',
        'dd eax l4',
        'db eax l9',
        'dps esp l4',
        'dd eax+8 l2',
        'dq eax l1',
        'dw eax l3',
        'dc eax+4 l1',
      ],
    ],
    ['processors.txt', ['~1s', 'k', '~0s', 'k', 'kn 2', 'kc 2', 'kb 1', '2k', '~']],
    ['qlocks.txt', ['!qlocks', '!running -i']],
    [
      'engine.txt',
      [
        '.bugcheck',
        '? eax',
        '? 0n12',
        '? foo',
        'lm',
        'lmvm hal',
        'ln 806e4a37',
        'ln hal!KeAcquireInStackQueuedSpinLock',
        'x hal!*Spin*',
        'vertarget',
        '.formats 1c407e62',
        'n 10',
        'n 16',
        'bogus',
        '!bogus',
        'k foo',
        '.echo a; .echo "b;c" ; * rest ; k',
        'dt nt!_LIST_ENTRY 830c09d0',
        'dt nt!_IRP',
        'dt -r1 nt!_IRP 86163008',
        '?? ((_IRP *)0x86163008)->Flags',
        '.effmach',
      ],
    ],
    ['analyze.txt', ['!analyze -v']],
  ])('%s', (file, lines) => expectGolden(goldens, file, log(...lines)));

  it('is the page: facts that must not move', () => {
    const thread = log('!thread');
    for (const line of [
      'THREAD 830c07c0  Cid 0588.0528  Teb: 7ffa3000 Win32Thread: e29546a8 RUNNING on processor 0',
      'IRP List:',
      '    86163008: (0006,01d8) Flags: 00000900  Mdl: 84f156c0',
      'Not impersonating',
      'DeviceMap                 e257b7c8',
      'Owning Process            831ec608       Image:         MyApp.EXE',
      'Wait Start TickCount      122850         Ticks: 40796 (0:00:10:37.437)',
      'Context Switch Count      191                 LargeStack',
      'UserTime                  00:00:00.000',
      'KernelTime                00:10:37.406',
      'Win32 Start Address 0x35f76821',
      'Start Address 0x7c810659',
      'Stack Init a07bf000 Current a07beca0 Base a07bf000 Limit a07bb000 Call 0',
      'Priority 11 BasePriority 8 PriorityDecrement 2 DecrementCount 16',
      'ChildEBP RetAddr  Args to Child              ',
    ])
      expect(thread).toContain(`${line}\n`);
    expect(log('.trap a07be180')).toContain(
      [
        'ErrCode = 00000000',
        'eax=a07be200 ebx=a07be228 ecx=831dabf5 edx=a07beb94 esi=831d02a8 edi=831dabd8',
        'eip=806e4a37 esp=a07be1f4 ebp=a07be220 iopl=0         nv up ei pl nz na po nc',
        'cs=0008  ss=0010  ds=0000  es=0000  fs=0000  gs=0000             efl=00000202',
        'hal!KeAcquireInStackQueuedSpinLock+0x47:',
        '806e4a37 ebf3            jmp     hal!KeAcquireInStackQueuedSpinLock+0x3c (806e4a2c)',
      ].join('\n'),
    );
    expect(log('.trap a07be180', 'dyd eax+4 l1')).toContain(
      [
        '           3          2          1          0',
        '          10987654 32109876 54321098 76543210',
        '          -------- -------- -------- --------',
        'a07be204  10000011 00011101 10101011 11110101  831dabf5',
      ].join('\n'),
    );
    expect(log('~1s', 'k')).toBe('0: kd> ~1s\n1: kd> k\nChildEBP RetAddr  \nf794cd54 00000000 nt!KiIdleLoop+0x14\n');
  });
});

describe("types of a driver's own PDB", () => {
  const ulong: TypeRef = { kind: 'base', name: 'unsigned long', size: 4, signed: false, form: 'int' };
  const own = fakeTypes(4, {
    _EXTENSION: [0x24, { Queue: [0, { kind: 'struct', name: '_LIST_ENTRY' }], Lock: [0x1c, ulong] }],
  });
  const target = seedTarget();
  const session = createSession({
    ...target,
    modules: target.modules.map((m) => (m.name === 'MyDriver' ? { ...m, pdbTypes: own } : m)),
  });
  const text = (line: string): string =>
    [...executeLine(registry, session, line)].map((d) => `${d.text}${d.error ?? ''}`).join('');

  it('are found by module!type, with the kernel behind them', () => {
    expect(text('dt MyDriver!_EXTENSION 831dabd8 Lock')).toBe(
      'MyDriver!_EXTENSION\n   +0x01c Lock             : 0xa07be200\n',
    );
    expect(text('dt . Lock 831dabd8')).toContain('Lock             : 0xa07be200');
    expect(text('?? ((MyDriver!_EXTENSION *)0x831dabd8)->Lock')).toBe('unsigned long 0xa07be200\n');
    expect(text('dt -r1 MyDriver!_EXTENSION')).toContain('      +0x000 Flink            : Ptr32 Void');
    expect(text('dt nt!_EXTENSION')).toBe('Symbol nt!_EXTENSION not found.');
  });
});

describe('variables and inlined calls of a private PDB', () => {
  const int: TypeRef = { kind: 'base', name: 'int', size: 4, signed: true, form: 'int' };
  const ulong: TypeRef = { kind: 'base', name: 'unsigned long', size: 4, signed: false, form: 'int' };
  const target = seedTarget();
  const session = createSession({
    ...target,
    modules: target.modules.map((m) => m),
    nameOf: (address) => {
      const name = target.nameOf(address);
      if (name.module?.name !== 'hal' || name.module.debugInfo === null) return name;
      const debugInfo: ModuleDebugInfo = {
        ...name.module.debugInfo,
        line: () => ({ file: 'c:\\src\\spin.c', line: 12, rva: 0 as Rva }),
        inlineFrames: () => [{ name: 'KxWait', file: 'c:\\src\\wait.h', line: 7 }],
        // CodeView registers: 17 eax, 21 esp, 22 ebp.
        locals: () => [
          {
            name: 'Lock',
            type: ulong,
            isParameter: true,
            isInlined: false,
            place: { kind: 'register', register: 17, offsetInParent: 0 },
          },
          {
            name: 'Word',
            type: int,
            isParameter: true,
            isInlined: false,
            place: { kind: 'memory', register: 21, offset: 0x10 },
          },
          { name: 'Gone', type: int, isParameter: false, isInlined: false, place: null },
        ],
      };
      return { ...name, module: { ...name.module, debugInfo } };
    },
  });
  const text = (line: string): string =>
    [...executeLine(registry, session, line)].map((d) => `${d.text}${d.error ?? ''}`).join('');

  it('show in k, kp, .frame and dv', () => {
    text('.trap a07be180');
    expect(text('kn 1')).toBe(
      [
        '  *** Stack trace for last set context - .thread/.cxr resets it',
        ' # ChildEBP RetAddr  ',
        '00 (Inline) -------- hal!KxWait [c:\\src\\wait.h @ 7] ',
        '01 a07be1f0 a1342755 hal!KeAcquireInStackQueuedSpinLock+0x47 [c:\\src\\spin.c @ 12] ',
        '',
      ].join('\n'),
    );
    // The frame's registers are those of the fake walk: eax 0, esp a07be0e0.
    expect(text('kpL 1')).toContain(
      'hal!KeAcquireInStackQueuedSpinLock(unsigned long Lock = 0x0, int Word = ??)+0x47\n',
    );
    expect(text('.frame 1')).toContain('01 a07be1f0 a1342755 hal!KeAcquireInStackQueuedSpinLock+0x47');
    expect(text('dv')).toBe('           Lock = 0x0\n           Word = ??\n           Gone = <value unavailable>\n');
    expect(text('dv /t L*')).toBe('unsigned long Lock = 0x0\n');
  });
});

/** Suspended threads on every generation of layouts: SuspendSemaphore up to 7, SuspendEvent and process freezes later. */
import { describe, expect, it } from 'vitest';
import type { Scenario } from '../../forge/src/scenario/scenario.ts';
import { diagnose } from '../src/index.ts';
import { forgedTarget } from './forged.ts';
import { type Arch, ago, everyBuild, type Waiter, waitingMachine } from './waiting.ts';

const MUTANT = { x64: 'ffffa98500500000', x86: '86500000' } as const;

function suspendObject(build: string): string {
  return build.startsWith('5.') || build.startsWith('6.1') ? 'SuspendSemaphore' : 'SuspendEvent';
}

/** A thread that waits for its own suspend object. */
function suspended(arch: Arch, build: string, name: string, thread: Waiter['thread'] = {}): Waiter {
  return {
    path: 'suspended',
    object: `thread(${name}).Tcb.${suspendObject(build)}`,
    type: suspendObject(build) === 'SuspendEvent' ? 1 : 5,
    thread: { waitReason: 5, suspendCount: 1, waitTime: ago(arch, 300), ...thread },
  };
}

function machine(
  arch: Arch,
  build: string,
  owner: Waiter,
  options: {
    readonly fields?: Record<string, string | number>;
    readonly waiters?: number;
    readonly other?: Waiter;
  } = {},
): Scenario {
  const waiter: Waiter = {
    path: 'read',
    object: MUTANT[arch],
    type: 2,
    thread: { waitReason: 6, waitMode: 'user', waitTime: ago(arch, 200) },
  };
  const waiters = Object.fromEntries(Array.from({ length: options.waiters ?? 2 }, (_, i) => [`w${i}`, waiter]));
  const scenario = waitingMachine(arch, build, {
    'app.exe': { owner, ...(options.other === undefined ? {} : { other: options.other }) },
    ...(options.waiters === 0 ? {} : { 'other.exe': waiters }),
  });
  const app = scenario.processes['app.exe'];
  if (app === undefined) throw new Error('no app.exe');
  return {
    ...scenario,
    processes: { ...scenario.processes, 'app.exe': { ...app, fields: options.fields ?? {} } },
    objects: {
      ...scenario.objects,
      mutant: {
        type: '_KMUTANT',
        at: MUTANT[arch],
        fields: { 'Header.Type': 2, 'Header.SignalState': 0, OwnerThread: 'thread(owner)' },
      },
    },
  };
}

function found(scenario: Scenario, symbols = false): string[] {
  return diagnose(forgedTarget(scenario, { symbols }), 'test')
    .findings.filter(({ pattern }) => pattern === 'suspended-thread')
    .map(({ verdict, confidence }) => `${verdict} ${confidence}`);
}

const EXECUTIVE = { waitReason: 0, suspendCount: 0 };

describe('suspended threads', () => {
  for (const [arch, build] of everyBuild) {
    const other: Waiter = { path: 'read', object: arch === 'x64' ? 'ffffa98500600000' : '86600000' };

    it(`${arch} ${build}: others wait for what it owns`, () => {
      for (const symbols of [true, false])
        expect(found(machine(arch, build, suspended(arch, build, 'owner'), { other }), symbols)).toEqual([
          'blocks-others strong',
        ]);
      // Nobody waits: one suspended thread of a process that goes on.
      expect(found(machine(arch, build, suspended(arch, build, 'owner'), { other, waiters: 0 }))).toEqual([
        'suspended possible',
      ]);
      // The owner waits for something else.
      expect(found(machine(arch, build, { ...other, thread: EXECUTIVE }))).toEqual([]);
    });

    it(`${arch} ${build}: a whole process`, () => {
      const owner = suspended(arch, build, 'owner');
      const both = { other: suspended(arch, build, 'other'), waiters: 0 };
      expect(found(machine(arch, build, owner, both))).toEqual(['suspended-process likely']);
      const debugged = { ...both, fields: { DebugPort: MUTANT[arch] } };
      expect(found(machine(arch, build, owner, debugged))).toEqual([]);
      const young = { waitTime: ago(arch, 1) };
      expect(found(machine(arch, build, suspended(arch, build, 'owner', young), { other, waiters: 0 }))).toEqual([]);
      const unstarted = { contextSwitches: 1 };
      expect(found(machine(arch, build, suspended(arch, build, 'owner', unstarted), { other, waiters: 0 }))).toEqual(
        [],
      );
      // A count alone does not stop what still waits in the kernel.
      expect(found(machine(arch, build, { ...other, thread: { waitReason: 0, suspendCount: 1 } }))).toEqual([]);
    });
  }

  for (const build of ['6.3.9600.19913', 'x64-10.0.19041-89284d0c', '10.0.22000.318']) {
    it(`x64 ${build}: a frozen process; not an app that Windows put to sleep`, () => {
      const stopped = (name: string): Waiter => suspended('x64', build, name, { suspendCount: 0 });
      const both = { other: stopped('other'), waiters: 0 };
      const frozen = { 'Pcb.FreezeCount': 1 };
      expect(found(machine('x64', build, stopped('owner'), { ...both, fields: frozen }))).toEqual([
        'suspended-process likely',
      ]);
      const asleep = { ...frozen, 'Pcb.DeepFreeze': 1 };
      expect(found(machine('x64', build, stopped('owner'), { ...both, fields: asleep }))).toEqual([]);
      // What the app holds meanwhile is told all the same.
      expect(found(machine('x64', build, stopped('owner'), { other: stopped('other'), fields: asleep }))).toEqual([
        'blocks-others likely',
      ]);
    });
  }

  it('a user-mode wait with a suspend count will not go on either, but less surely', () => {
    const build = 'x64-10.0.19041-89284d0c';
    const user: Waiter = {
      path: 'read',
      object: 'ffffa98500600000',
      thread: { waitReason: 6, waitMode: 'user', suspendCount: 1, waitTime: ago('x64', 300) },
    };
    expect(found(machine('x64', build, user, { other: { path: 'read', object: 'own stack' } }))).toEqual([
      'blocks-others possible',
    ]);
  });

  it('reads the freeze of single threads where each build keeps it', () => {
    const frozen = (arch: Arch, build: string, fields: Record<string, number>): string[] => {
      const waiter: Waiter = {
        path: 'read',
        object: arch === 'x64' ? 'ffffa98500600000' : '86600000',
        thread: { waitReason: 6, waitMode: 'user', waitTime: ago(arch, 300), fields },
      };
      const other: Waiter = { path: 'read', object: 'own stack' };
      return found(machine(arch, build, waiter, { other, waiters: 0 }));
    };
    expect(frozen('x86', '5.1.2600.5512', { 'Tcb.FreezeCount': 1 })).toEqual(['suspended possible']);
    expect(frozen('x64', '6.1.7601.24540', { 'Tcb.FreezeCount': 1 })).toEqual(['suspended possible']);
    expect(frozen('x64', 'x64-10.0.19041-89284d0c', { 'Tcb.FreezeCount': 1 })).toEqual(['suspended possible']);
    expect(frozen('x64', '10.0.22000.318', { 'Tcb.FreezeNormal': 1 })).toEqual(['suspended possible']);
    expect(frozen('x64', '10.0.22000.318', { 'Tcb.FreezeNormal': 0 })).toEqual([]);
  });

  it('says less where the list of threads breaks off', () => {
    const build = 'x64-10.0.19041-89284d0c';
    const both = { other: suspended('x64', build, 'other'), waiters: 0 };
    const scenario = machine('x64', build, suspended('x64', build, 'owner'), both);
    const broken = { 'thread(owner).ThreadListEntry': { pointer: 'ffffa98500700000' } };
    expect(found({ ...scenario, memory: { ...scenario.memory, ...broken } })).toEqual(['suspended possible']);
  });
});

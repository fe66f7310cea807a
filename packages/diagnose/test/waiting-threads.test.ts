/** Threads that wait: passive ones, and waits that began together. Every state on every generation of layouts. */
import { describe, expect, it } from 'vitest';
import type { Scenario } from '../../forge/src/scenario/scenario.ts';
import { Diagnosis } from '../src/engine/diagnosis.ts';
import { passiveThreads } from '../src/facts/passive-threads.ts';
import { diagnose } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';
import { type Arch, ago, everyBuild, type Waiter, waitingMachine } from './waiting.ts';

const KERNEL: Waiter = { path: 'kernel', object: 'static' };
const SERVICE: Waiter = { path: 'service', object: 'static' };
const SUSPEND = 5;

/** The role of the one thread that waits in the machine; null where it is not passive. */
function role(arch: Arch, build: string, waiter: Waiter, image = 'System', symbols = false): string | null {
  const target = forgedTarget(waitingMachine(arch, build, { [image]: { one: waiter } }), { symbols });
  const [first] = new Diagnosis(target).fact(passiveThreads).values();
  return first?.role ?? null;
}

const withThread = (waiter: Waiter, thread: Waiter['thread']): Waiter => ({
  ...waiter,
  thread: { ...waiter.thread, ...thread },
});

describe('passive threads', () => {
  for (const [arch, build] of everyBuild) {
    it(`${arch} ${build}: told by reason, object and place`, () => {
      const queue: Waiter = { ...KERNEL, type: 4, thread: { waitReason: 15 } };
      expect(role(arch, build, queue)).toBe('queue');
      expect(role(arch, build, { ...queue, type: 1 })).toBeNull();
      expect(role(arch, build, KERNEL)).toBe('kernel-worker');
      expect(role(arch, build, KERNEL, 'System', true)).toBe('kernel-worker');
      expect(role(arch, build, { ...KERNEL, object: 'own stack' })).toBeNull();
      expect(role(arch, build, withThread(KERNEL, { waitReason: 18 }))).toBe('memory');
      expect(role(arch, build, withThread(KERNEL, { waitReason: SUSPEND }))).toBeNull();
      const zero = withThread(KERNEL, { waitReason: 8, priority: 0 });
      expect(role(arch, build, zero)).toBe('zero-page');
      expect(role(arch, build, withThread(zero, { priority: 8 }))).toBeNull();
      // Symbols add names and change nothing.
      for (const symbols of [true, false]) {
        expect(role(arch, build, SERVICE, 'System', symbols)).toBe('driver-worker');
        expect(role(arch, build, { path: 'work', object: 'own stack' }, 'System', symbols)).toBeNull();
        expect(role(arch, build, { path: 'read', object: 'own stack' }, 'app.exe', symbols)).toBeNull();
      }
    });
  }

  it('a mutant, a request of its own, and a stack of another driver make a thread active', () => {
    const build = '10.0.22000.318';
    expect(role('x64', build, { ...SERVICE, type: 2 })).toBeNull();
    const irp = { at: 'ffffa98500100000', locations: [{ MajorFunction: 3 }] };
    expect(role('x64', build, withThread(SERVICE, { irps: [irp] }))).toBeNull();
    expect(role('x64', build, withThread(SERVICE, { startAddress: 'intelppm!DriverEntry' }))).toBeNull();
    // A worker of the kernel that runs a driver's item keeps its queue; a thread that the driver made has none.
    const item: Waiter = { path: 'work', object: 'static' };
    const started = { startAddress: 'nt!ExpWorkerThread' };
    const queue = { fields: { 'Tcb.Queue': 'nt!ExWorkerQueue' } };
    expect(role('x64', build, withThread(item, { ...started, ...queue }))).toBeNull();
    expect(role('x64', build, withThread(item, started))).toBe('driver-worker');
    // The kernel calls the driver for a request: more of it is below.
    expect(
      role(
        'x64',
        build,
        withThread({ path: 'cleanup', object: 'static' }, { ...started, ...{ fields: { 'Tcb.SystemThread': 1 } } }),
      ),
    ).toBeNull();
  });

  it('a worker that owns what others wait for is none that waits for work', () => {
    const mutant = 'ffffa98500800000';
    const waiter: Waiter = { path: 'read', object: mutant, type: 2, thread: { waitReason: 6, waitMode: 'user' } };
    const machine = (owner: string): Scenario => {
      const base = waitingMachine('x64', '10.0.22000.318', { System: { service: SERVICE }, app: { waiter } });
      const fields = { 'Header.Type': 2, 'Header.SignalState': 0, OwnerThread: owner };
      return { ...base, objects: { ...base.objects, mutant: { type: '_KMUTANT', at: mutant, fields } } };
    };
    const roles = (owner: string): string[] =>
      [...new Diagnosis(forgedTarget(machine(owner), { symbols: false })).fact(passiveThreads).values()].map(
        (passive) => passive.role,
      );
    expect(roles('thread(service)')).toEqual([]);
    expect(roles('thread(waiter)')).toEqual(['driver-worker']);
  });

  it('without the stack, start address and object decide', () => {
    const build = 'x64-10.0.19041-89284d0c';
    const hidden = { fields: { 'Tcb.KernelStackResident': 0 } };
    expect(role('x64', build, withThread(SERVICE, hidden))).toBe('driver-worker');
    expect(role('x64', build, withThread({ path: 'work', object: 'own stack' }, hidden))).toBeNull();
  });

  it('user threads: servers and message loops are passive, other waits are not', () => {
    const build = '6.1.7601.24540';
    const user = (waitReason: number): Waiter => ({
      path: 'read',
      object: 'ffffa98500200000',
      type: 5,
      thread: { waitReason, waitMode: 'user' },
    });
    expect(role('x64', build, user(16), 'lsass.exe')).toBe('server');
    expect(role('x64', build, user(13), 'explorer.exe')).toBe('messages');
    expect(role('x64', build, user(6), 'app.exe')).toBeNull();
    const kernel = user(13);
    expect(role('x64', build, withThread(kernel, { waitMode: 'kernel' }), 'csrss.exe')).toBe('messages');
  });

  it('says once what waits for work, clears drivers, and names who does not', () => {
    for (const [arch, build] of everyBuild) {
      const machine = waitingMachine(arch, build, {
        System: {
          worker: { ...KERNEL, type: 4, thread: { waitReason: 15 } },
          service: SERVICE,
          work: { path: 'work', object: 'own stack' },
        },
      });
      const found = diagnose(forgedTarget(machine, { symbols: false }), 'test').findings.filter(
        ({ pattern }) => pattern === 'passive-thread',
      );
      expect(found).toHaveLength(1);
      expect(found[0]).toMatchObject({
        confidence: 'likely',
        title: '2 threads of the system wait for work, as they should',
      });
      expect(found[0]?.cleared.map(({ what }) => what)).toEqual(['waitdrv']);
      expect(found[0]?.summary).toContain('1 other system thread waits for something particular');
    }
  });
});

/** `count` threads over `images`, waiting in a driver since `secondsOf(i)` seconds. */
function crowd(
  arch: Arch,
  build: string,
  images: readonly string[],
  count: number,
  secondsOf: (i: number) => number,
  thread: Waiter['thread'] = {},
): Scenario {
  const processes: Record<string, Record<string, Waiter>> = {};
  for (let i = 0; i < count; i++) {
    const image = images[i % images.length] ?? '';
    (processes[image] ??= {})[`t${i}`] = {
      path: 'cleanup',
      object: arch === 'x64' ? 'ffffa98500300060' : '86300060',
      thread: { waitTime: ago(arch, secondsOf(i)), ...thread },
    };
  }
  return waitingMachine(arch, build, processes);
}

function clusters(scenario: Scenario, symbols = false): string[] {
  return diagnose(forgedTarget(scenario, { symbols }), 'test')
    .findings.filter(({ pattern }) => pattern === 'waiting-thread-time')
    .map(({ confidence, title }) => `${confidence}: ${title}`);
}

const FOUR = ['svchost.exe', 'lsass.exe', 'explorer.exe', 'spoolsv.exe'];
const together = (i: number): number => 967 - (i % 8) / 64;

describe('waits that began together', () => {
  for (const [arch, build] of everyBuild) {
    it(`${arch} ${build}: fires for one moment of several processes`, () => {
      const expected = ['possible: 12 threads of 4 processes began to wait within 0.109 s, 16:07.000 ago'];
      for (const symbols of [true, false])
        expect(clusters(crowd(arch, build, FOUR, 12, together), symbols)).toEqual(expected);
    });

    it(`${arch} ${build}: not spread, timed, of one process, of few, young, or since the boot`, () => {
      expect(clusters(crowd(arch, build, FOUR, 12, (i) => 967 - i * 2))).toEqual([]);
      expect(clusters(crowd(arch, build, FOUR.slice(0, 2), 12, together))).toEqual([]);
      expect(clusters(crowd(arch, build, FOUR, 7, together))).toEqual([]);
      expect(clusters(crowd(arch, build, FOUR, 12, (i) => together(i) - 960))).toEqual([]);
      const up = arch === 'x64' ? 230_741 / 64 : 163_646 / 64;
      expect(clusters(crowd(arch, build, FOUR, 12, (i) => up - 100 + together(i) / 1e6))).toEqual([]);
      const timed = build.startsWith('5.') ? { 'Tcb.Timer.Header.Inserted': 1 } : { 'Tcb.TimerActive': 1 };
      expect(clusters(crowd(arch, build, FOUR, 12, together, { fields: timed }))).toEqual([]);
    });
  }

  const build = 'x64-10.0.19041-89284d0c';

  it('not for threads that wait since they were made', () => {
    const now = (BigInt(Date.parse('2023-05-22T07:03:11.093Z')) + 11_644_473_600_000n) * 10_000n; // x64-idle's system time
    const created = (seconds: number): string => (now - BigInt(seconds * 1e7)).toString(16);
    expect(clusters(crowd('x64', build, FOUR, 12, together, { fields: { CreateTime: created(968) } }))).toEqual([]);
    expect(clusters(crowd('x64', build, FOUR, 12, together, { fields: { CreateTime: created(2000) } }))).toHaveLength(
      1,
    );
  });

  it('not for WaitTime 0 and not for a wait before the boot', () => {
    expect(clusters(crowd('x64', build, FOUR, 12, together, { waitTime: 0 }))).toEqual([]);
    expect(clusters(crowd('x64', build, FOUR, 12, together, { waitTime: 'fffffff0' }))).toEqual([]);
  });

  it('counts over the wrap of the 32-bit tick count', () => {
    const scenario = crowd('x64', build, FOUR, 12, together, { waitTime: 'fffffff0' });
    const wrapped = { ...scenario, time: { ...scenario.time, tickCount: '100010000' } };
    expect(clusters(wrapped)).toEqual(['possible: 12 threads of 4 processes began to wait in one tick, 17:04.250 ago']);
  });

  it('is surer for many threads, and where a processor has run since that moment', () => {
    expect(clusters(crowd('x64', build, [...FOUR, 'app.exe'], 20, together))[0]).toMatch(/^likely/);
    const scenario = crowd('x64', build, FOUR, 12, together);
    const busy = {
      ...scenario,
      processors: scenario.processors.map((processor, i) => (i === 2 ? { ...processor, thread: 'hog' } : processor)),
      processes: {
        ...scenario.processes,
        hog: { pid: '990', image: 'hog.exe', threads: { hog: { state: 'running', waitTime: ago('x64', 967) } } },
      },
    } as Scenario;
    expect(clusters(busy)[0]).toMatch(/^likely/);
  });

  it('stands beside the spin that began at that moment', () => {
    const seed = scenarioNamed('S01a');
    const around = (seconds: number): Scenario => {
      const scenario = crowd('x86', '5.1.2600.5512', FOUR, 12, (i) => seconds - (i % 8) / 64);
      const added = (name: 'processes' | 'stacks' | 'memory' | 'modules'): object => ({
        ...scenario[name],
        ...seed[name],
      });
      return {
        ...seed,
        processes: added('processes') as Scenario['processes'],
        stacks: added('stacks') as NonNullable<Scenario['stacks']>,
        memory: added('memory') as NonNullable<Scenario['memory']>,
        modules: added('modules') as Scenario['modules'],
      };
    };
    // The spinning thread last waited 10:37.437 ago.
    const { findings } = diagnose(forgedTarget(around(637), { symbols: false }), 'test');
    expect(findings[0]?.pattern).toBe('dispatch-level-spin');
    const cluster = findings.find(({ pattern }) => pattern === 'waiting-thread-time');
    expect(cluster).toMatchObject({ confidence: 'likely' });
    expect(cluster?.summary).toContain('when processor 0 began what it still does');
    const later = diagnose(forgedTarget(around(300), { symbols: false }), 'test').findings;
    expect(later.find(({ pattern }) => pattern === 'waiting-thread-time')).toMatchObject({ confidence: 'possible' });
  });

  it('uses the length of a tick that the dump records', () => {
    const scenario = crowd('x64', build, FOUR, 12, () => 62149 / 64);
    const vista = { ...scenario, time: { ...scenario.time, increment: 156001 } };
    expect(clusters(vista)).toEqual(['possible: 12 threads of 4 processes began to wait in one tick, 16:09.530 ago']);
  });
});

/** Owners that are no threads any more, threads off their list and processes without threads, on every generation of layouts. */
import { describe, expect, it } from 'vitest';
import type { Scenario, ThreadSpec } from '../../forge/src/scenario/scenario.ts';
import { diagnose, type Finding } from '../src/index.ts';
import { forgedTarget } from './forged.ts';
import { type Arch, everyBuild, type Waiter, waitingMachine } from './waiting.ts';

const at = {
  x64: {
    mutant: 'ffffa98500500000',
    elsewhere: 'ffffa98500600040',
    nowhere: 'ffffa9d500000040',
    owner: 'ffffa98500700040',
  },
  x86: { mutant: '86500000', elsewhere: '86600040', nowhere: '8fe00040', owner: '86700040' },
} as const;

/** Two threads wait for a mutant that `owner` (an expression) owns; app.exe has that thread, unless `thread` is null. */
function machine(
  arch: Arch,
  build: string,
  owner: string,
  thread: Partial<ThreadSpec> | null,
  more: Partial<Scenario> = {},
): Scenario {
  const waiter: Waiter = {
    path: 'read',
    object: at[arch].mutant,
    type: 2,
    thread: { waitReason: 6, waitMode: 'user' },
  };
  const own: Waiter = { path: 'read', object: 'own stack', thread: { at: at[arch].owner, ...thread } };
  const scenario = waitingMachine(arch, build, {
    'app.exe': { idle: { path: 'read', object: 'own stack' }, ...(thread === null ? {} : { owner: own }) },
    'other.exe': { w0: waiter, w1: waiter },
  });
  return {
    ...scenario,
    ...more,
    memory: { ...scenario.memory, ...more.memory },
    objects: {
      ...scenario.objects,
      ...more.objects,
      mutant: {
        type: '_KMUTANT',
        at: at[arch].mutant,
        fields: { 'Header.Type': 2, 'Header.SignalState': 0, OwnerThread: owner },
      },
    },
  };
}

function findings(scenario: Scenario, symbols = false): readonly Finding[] {
  return diagnose(forgedTarget(scenario, { symbols }), 'test').findings.filter(
    ({ pattern }) => pattern === 'missing-thread',
  );
}

const told = (scenario: Scenario, symbols = false): string[] =>
  findings(scenario, symbols).map(({ verdict, confidence }) => `${verdict} ${confidence}`);

describe('missing threads', () => {
  for (const [arch, build] of everyBuild) {
    const { elsewhere, nowhere, owner } = at[arch];

    it(`${arch} ${build}: an owner that has ended, against one that lives`, () => {
      for (const symbols of [true, false]) {
        expect(told(machine(arch, build, owner, { state: 'terminated' }), symbols)).toEqual(['orphaned-owner strong']);
        expect(told(machine(arch, build, owner, {}), symbols)).toEqual([]);
      }
      expect(told(machine(arch, build, owner, { state: 'ready' }))).toEqual([]);
    });

    it(`${arch} ${build}: an address without a thread, without a page, or with another object`, () => {
      const other = { objects: { other: { type: '_KEVENT', at: elsewhere, fields: { 'Header.Type': 1 } } } };
      expect(told(machine(arch, build, elsewhere, null, other))).toEqual(['orphaned-owner strong']);
      expect(told(machine(arch, build, nowhere, null))).toEqual(['orphaned-owner strong']);
      // What looks like a thread, is none of the lists: less sure.
      const stale = { memory: { [elsewhere]: { byte: 6 } } };
      expect(told(machine(arch, build, elsewhere, null, stale))).toEqual(['orphaned-owner likely']);
      expect(findings(machine(arch, build, elsewhere, null, other))[0]?.downstream).toHaveLength(2);
    });

    it(`${arch} ${build}: a thread that its process counts and does not list`, () => {
      const counting = (ActiveThreads: number, more: Partial<Scenario> = {}): Scenario => {
        const scenario = machine(arch, build, owner, {}, more);
        const app = scenario.processes['app.exe'];
        if (app === undefined) throw new Error('no app.exe');
        return { ...scenario, processes: { ...scenario.processes, 'app.exe': { ...app, fields: { ActiveThreads } } } };
      };
      expect(told(counting(3))).toEqual(['unlisted-thread possible']);
      expect(told(counting(4))).toEqual(['unlisted-thread likely']);
      expect(told(counting(2))).toEqual([]);
      // So many cannot be missing: the count is wrong.
      expect(told(counting(5000))).toEqual(['unlisted-thread possible']);
      // Threads that begin to exit are discounted before they leave the list.
      expect(told(counting(1))).toEqual([]);
      const broken = { memory: { 'thread(owner).ThreadListEntry': { pointer: nowhere } } };
      expect(told(counting(4, broken))).toEqual([]);
    });

    it(`${arch} ${build}: a worker that its queue counts on`, () => {
      const queue = arch === 'x64' ? 'ffffa98500900000' : '86900000';
      const item = arch === 'x64' ? 'ffffa98500910000' : '86910000';
      const serving = (gone: Partial<ThreadSpec>, entries: readonly string[]): Scenario => {
        const worker = (thread: Partial<ThreadSpec>): Waiter => ({
          path: 'kernel',
          object: 'static',
          thread: { fields: { 'Tcb.Queue': queue }, ...thread },
        });
        const scenario = waitingMachine(arch, build, { System: { one: worker({}), two: worker(gone) } });
        return {
          ...scenario,
          objects: {
            ...scenario.objects,
            queue: { type: '_KQUEUE', at: queue, fields: { 'Header.Type': 4, MaximumCount: 2, CurrentCount: 2 } },
            item: { type: '_LIST_ENTRY', at: item },
          },
          lists: [
            {
              head: 'object(queue).ThreadListHead',
              entries: ['thread(one).Tcb.QueueListEntry', 'thread(two).Tcb.QueueListEntry'],
            },
            { head: 'object(queue).EntryListHead', entries },
          ],
        };
      };
      expect(told(serving({ state: 'terminated' }, [item]))).toEqual(['absent-worker likely']);
      expect(told(serving({ state: 'terminated' }, []))).toEqual(['absent-worker possible']);
      expect(told(serving({}, [item]))).toEqual([]);
    });

    it(`${arch} ${build}: processes that ended and are still referenced, from five of one image on`, () => {
      const ended = (n: number, exit: string): Scenario => {
        const scenario = waitingMachine(arch, build, {});
        const fields = { ActiveThreads: 0, ExitTime: exit };
        const zombies = Object.fromEntries(
          Array.from({ length: n }, (_, i) => [
            `z${i}`,
            { pid: (0x900 + 4 * i).toString(16), image: 'helper.exe', fields },
          ]),
        );
        return { ...scenario, processes: { ...scenario.processes, ...zombies } };
      };
      const now = arch === 'x64' ? '2023-05-22T07:03:11Z' : '2008-01-25T10:42:36Z';
      const before = (seconds: number): string =>
        ((BigInt(Date.parse(now)) + 11_644_473_600_000n - BigInt(seconds * 1000)) * 10_000n).toString(16);
      expect(told(ended(5, before(600)))).toEqual(['zombie-processes possible']);
      expect(told(ended(4, before(600)))).toEqual([]);
      expect(told(ended(5, before(10)))).toEqual([]);
      expect(told(ended(5, '0'))).toEqual([]);
      expect(told(ended(64, before(600)))).toEqual(['zombie-processes likely']);
    });
  }

  const build = 'x64-10.0.19041-89284d0c';

  it('a page that the dump lacks proves nothing, unless every list was followed', () => {
    const { elsewhere } = at.x64;
    const stale = { memory: { [elsewhere]: { byte: 1 } }, drop: [elsewhere] };
    const dropped = machine('x64', build, elsewhere, null, { ...stale, dump: 'bitmap-kernel' });
    expect(told(dropped)).toEqual(['orphaned-owner likely']);
    const broken = { 'thread(w1).ThreadListEntry': { pointer: at.x64.nowhere } };
    expect(told({ ...dropped, memory: { ...dropped.memory, ...broken } })).toEqual([]);
  });

  it('does not trust a count that disagrees everywhere', () => {
    const processes = Object.fromEntries(
      ['a', 'b', 'c', 'd'].map((name) => [
        `${name}.exe`,
        { [`t${name}`]: { path: 'read', object: 'own stack' } as Waiter },
      ]),
    );
    const scenario = waitingMachine('x64', build, processes);
    const counting = (n: number): Scenario => ({
      ...scenario,
      processes: Object.fromEntries(
        Object.entries(scenario.processes).map(([key, process], i) => [
          key,
          i > 0 && i <= n ? { ...process, fields: { ActiveThreads: 7 } } : process,
        ]),
      ),
    });
    expect(told(counting(3))).toHaveLength(3);
    expect(told(counting(4))).toEqual([]);
  });

  it('names the thread that a lock leads to and no list does', () => {
    const scenario = machine('x64', build, 'thread(hidden)', null);
    const app = scenario.processes['app.exe'];
    if (app === undefined) throw new Error('no app.exe');
    const hidden: ThreadSpec = { at: at.x64.owner, state: 'waiting', waitReason: 0, waitTime: 1000 };
    const unlinked = {
      ...scenario,
      processes: { ...scenario.processes, 'app.exe': { ...app, threads: { ...app.threads, hidden } } },
      // The list leads past it, in both directions.
      lists: ['ThreadListEntry', 'Tcb.ThreadListEntry'].map((entry, i) => ({
        head: i === 0 ? 'process(app.exe).ThreadListHead' : 'process(app.exe).Pcb.ThreadListHead',
        entries: [`thread(idle).${entry}`],
      })),
    };
    expect(told(unlinked)).toEqual(['orphaned-owner likely', 'unlisted-thread likely']);
  });
});

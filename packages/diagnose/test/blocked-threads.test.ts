/** Threads that wait in a driver or for a device, on every generation of layouts, with and without symbols. */
import { describe, expect, it } from 'vitest';
import type { Scenario } from '../../forge/src/scenario/scenario.ts';
import { diagnose, type Finding } from '../src/index.ts';
import { forgedTarget } from './forged.ts';
import { type Arch, ago, everyBuild, type Waiter, waitingMachine } from './waiting.ts';

/** Places of a request, a device, its driver and its extension. */
const at = {
  x64: {
    irp: 'ffffa98500100000',
    device: 'ffffa98500110000',
    driver: 'ffffa98500120000',
    extension: 'ffffa98500130000',
  },
  x86: { irp: '86100000', device: '86110000', driver: '86120000', extension: '86130000' },
} as const;
const EVENT = { x64: 'ffffa98500300060', x86: '86300060' } as const;

function findings(scenario: Scenario, symbols = false): readonly Finding[] {
  return diagnose(forgedTarget(scenario, { symbols }), 'test').findings.filter(
    ({ pattern }) => pattern === 'blocked-thread',
  );
}

const told = (found: readonly Finding[]): string[] =>
  found.map(({ verdict, confidence }) => `${verdict} ${confidence}`);

function cleanup(arch: Arch, thread: Waiter['thread'] = {}): Waiter {
  return { path: 'cleanup', object: EVENT[arch], type: 0, thread };
}

/** A read that waits for a request with a device; `node` is the device's DEVICE_NODE, `attachedTo` what it is attached to. */
function read(arch: Arch, build: string, extension: Record<string, string | number>, event = true): Scenario {
  const { irp, device, driver } = at[arch];
  const scenario = waitingMachine(arch, build, {
    'app.exe': {
      reader: {
        path: 'read',
        object: 'own stack',
        thread: {
          irps: [
            {
              at: irp,
              locations: [{ MajorFunction: 3, DeviceObject: device }],
              fields: event ? { UserEvent: arch === 'x64' ? 'ffff85fffffffc70' : 'a2003978' } : {},
            },
          ],
        },
      },
    },
  });
  return {
    ...scenario,
    objects: {
      ...scenario.objects,
      driver: { type: '_DRIVER_OBJECT', at: driver, fields: { Type: 4, DriverStart: 'i8042prt' } },
      device: {
        type: '_DEVICE_OBJECT',
        at: device,
        fields: { Type: 3, DriverObject: driver, DeviceObjectExtension: at[arch].extension },
      },
      extension: { type: '_DEVOBJ_EXTENSION', at: at[arch].extension, fields: { Type: 13, ...extension } },
    },
  };
}

describe('blocked threads', () => {
  for (const [arch, build] of everyBuild) {
    it(`${arch} ${build}: in a driver, more surely the more there are`, () => {
      const one = { 'app.exe': { a: cleanup(arch) } };
      const three = { 'app.exe': { a: cleanup(arch), b: cleanup(arch) }, 'tool.exe': { c: cleanup(arch) } };
      for (const symbols of [true, false]) {
        expect(told(findings(waitingMachine(arch, build, one), symbols))).toEqual(['software possible']);
        const [finding] = findings(waitingMachine(arch, build, three), symbols);
        expect(finding).toMatchObject({
          verdict: 'software',
          confidence: 'likely',
          title: '3 threads of 2 processes are blocked in waitdrv, for 10:00.000',
        });
        expect(finding?.blame.map(({ module, role }) => `${module}: ${role}`)).toEqual(['waitdrv: blocking module']);
      }
    });

    it(`${arch} ${build}: not for user mode, with an alert, young, suspended, or waiting for an owner`, () => {
      const silent = (thread: Waiter['thread'], more: Partial<Waiter> = {}): void =>
        expect(
          told(findings(waitingMachine(arch, build, { 'app.exe': { a: { ...cleanup(arch, thread), ...more } } }))),
        ).toEqual([]);
      silent({ waitMode: 'user' });
      silent({ alertable: true });
      silent({ waitTime: ago(arch, 59) });
      silent({ waitReason: 5, suspendCount: 1 });
      silent({ state: 'ready' });
      silent({}, { type: 6, object: 'thread(a)' });
    });

    it(`${arch} ${build}: a driver's own thread, by where its event lies`, () => {
      const work: Waiter = { path: 'work', object: 'own stack' };
      expect(told(findings(waitingMachine(arch, build, { System: { work } })))).toEqual(['software possible']);
      const service: Waiter = { path: 'service', object: 'static' };
      expect(told(findings(waitingMachine(arch, build, { System: { service } })))).toEqual([]);
    });

    it(`${arch} ${build}: surer and sooner of a thread that is being terminated`, () => {
      const one = (fields: Record<string, number>, seconds: number): Scenario =>
        waitingMachine(arch, build, { 'app.exe': { a: cleanup(arch, { fields, waitTime: ago(arch, seconds) }) } });
      expect(told(findings(one({ Terminated: 1 }, 20)))).toEqual(['software likely']);
      expect(told(findings(one({ Terminated: 0 }, 20)))).toEqual([]);
      expect(told(findings(one({ Terminated: 1 }, 5)))).toEqual([]);
    });

    it(`${arch} ${build}: a sleep is told apart`, () => {
      const timed = build.startsWith('5.') ? { 'Tcb.Timer.Header.Inserted': 1 } : { 'Tcb.TimerActive': 1 };
      expect(
        told(findings(waitingMachine(arch, build, { 'app.exe': { a: cleanup(arch, { fields: timed }) } }))),
      ).toEqual(['timeout possible']);
    });

    it(`${arch} ${build}: for a device, when the event is that of the request`, () => {
      const node = arch === 'x64' ? 'ffffa98500140000' : '86140000';
      const [finding] = findings(read(arch, build, { AttachedTo: 0, DeviceNode: node }));
      expect(finding).toMatchObject({ verdict: 'hardware', confidence: 'likely' });
      expect(finding?.blame.map(({ module, role }) => `${module}: ${role}`)).toEqual([
        'i8042prt: has the request',
        'waitdrv: blocking module',
      ]);
      // Without a device node at the bottom it is software; without the event in the request, nobody knows of it.
      expect(told(findings(read(arch, build, { AttachedTo: 0, DeviceNode: 0 })))).toEqual(['software possible']);
      const [unrelated] = findings(read(arch, build, { AttachedTo: 0, DeviceNode: node }, false));
      expect(unrelated?.blame.map(({ module }) => module)).toEqual(['waitdrv']);
      // A stack of devices that runs in a circle has no bottom.
      expect(told(findings(read(arch, build, { AttachedTo: at[arch].device, DeviceNode: node })))).toEqual([
        'software possible',
      ]);
    });
  }

  it('is surer where somebody waits for the thread', () => {
    const build = 'x64-10.0.19041-89284d0c';
    const waiter: Waiter = { path: 'read', object: 'thread(a)', type: 6, thread: { waitReason: 6, waitMode: 'user' } };
    const scenario = waitingMachine('x64', build, { 'app.exe': { a: cleanup('x64') }, 'tool.exe': { b: waiter } });
    const [finding] = findings(scenario);
    expect(finding).toMatchObject({ verdict: 'software', confidence: 'likely' });
    expect(finding?.summary).toContain('1 other thread waits for it');
  });

  it('says nothing without the stack, and nothing of a stack that is not resident', () => {
    const build = 'x64-10.0.19041-89284d0c';
    const scenario = waitingMachine('x64', build, { 'app.exe': { a: cleanup('x64') } });
    expect(told(findings({ ...scenario, drop: ['ffff85fffffff000'] }))).toEqual([]);
    const swapped = cleanup('x64', { fields: { 'Tcb.KernelStackResident': 0 } });
    expect(told(findings(waitingMachine('x64', build, { 'app.exe': { a: swapped } })))).toEqual([]);
  });
});

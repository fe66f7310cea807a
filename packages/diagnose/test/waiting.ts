/** Machines of waiting threads for tests: an idle system of any build, and threads with the stack of a wait. */
import type { Scenario, StackContents, ThreadSpec, Value } from '../../forge/src/scenario/scenario.ts';
import { scenarioNamed } from './forged.ts';

export const builds = {
  x86: ['5.1.2600.5512', '6.1.7601', '10.0.19041.928'],
  x64: ['6.1.7601.24540', '6.3.9600.19913', 'x64-10.0.19041-89284d0c', '10.0.22000.318'],
} as const;

export type Arch = 'x86' | 'x64';
export const everyBuild: readonly (readonly [Arch, string])[] = [
  ...builds.x86.map((build) => ['x86', build] as const),
  ...builds.x64.map((build) => ['x64', build] as const),
];

/**
 * What lies above the wait, innermost first. `kernel`: nothing, the kernel's own thread. `service`: the driver's thread
 * routine. `work`: that routine serving a request. `read`, `cleanup`: dispatch routines on the thread of a caller.
 * `suspended`: nothing, on a user thread.
 */
export type Path = 'suspended' | 'kernel' | 'service' | 'work' | 'read' | 'cleanup';

export interface Waiter {
  readonly path: Path;
  /** Where the object lies: `own stack`, a static of the driver or the kernel, or an address. */
  readonly object: 'own stack' | 'static' | Value;
  /** DISPATCHER_HEADER.Type; 1 (synchronization event) when absent. */
  readonly type?: number;
  readonly thread?: Partial<ThreadSpec>;
}

export const TICKS = { x86: 163_646, x64: 230_741 } as const;
/** Tick count that many seconds before the dump. */
export function ago(arch: Arch, seconds: number): number {
  return TICKS[arch] - Math.round(seconds * 64);
}

const hex = (value: bigint): string => value.toString(16);

/** One object a kind, so that a type that is written for one wait is not that of another. */
const staticOf = {
  x64: { driver: 'waitdrv!WorkEvent', kernel: 'nt!KiInterruptObject+', from: 0x100 },
  x86: { driver: 'waitdrv!WorkEvent', kernel: 'nt+', from: 0x90000 },
} as const;

function staticObject(arch: Arch, { path, type }: Waiter): Value {
  const { driver, kernel, from } = staticOf[arch];
  return path === 'kernel' ? `${kernel}${(from + (type ?? 1) * 0x40).toString(16)}` : driver;
}

/** A machine of `processes`: image name to threads; System is there always. */
export function waitingMachine(
  arch: Arch,
  build: string,
  processes: Readonly<Record<string, Readonly<Record<string, Waiter>>>>,
): Scenario {
  const base = scenarioNamed(arch === 'x64' ? 'x64-idle' : 'x86-idle');
  const stacks: Record<string, StackContents> = { ...base.stacks };
  const memory: Record<string, unknown> = { ...base.memory };
  const specs: Record<string, Scenario['processes'][string]> = {};
  let n = 0;
  let pid = 0x400;
  for (const [image, waiters] of Object.entries(processes)) {
    const threads: Record<string, ThreadSpec> = {};
    for (const [name, waiter] of Object.entries(waiters)) {
      const built = build64or32(arch, n++, waiter);
      threads[name] = built.thread;
      stacks[name] = built.stack;
      Object.assign(memory, built.memory);
    }
    const system = image === 'System';
    specs[image] = system
      ? { ...base.processes.System, pid: 4, image, threads }
      : { pid: (pid += 8).toString(16), image, peb: arch === 'x64' ? '7ff000000' : '7ffd5000', threads };
  }
  const image = arch === 'x64' ? 'fffff80352200000' : 'a1440000';
  return {
    ...base,
    id: `waiting-${arch}`,
    build,
    dump: 'full',
    modules: {
      ...nameOfKernel(base, build),
      waitdrv: { image: 'waitdrv.sys', base: image, path: '\\SystemRoot\\System32\\drivers\\waitdrv.sys' },
    },
    processors: processorsOf(base, build),
    processes: { ...base.processes, ...specs },
    stacks,
    memory: memory as NonNullable<Scenario['memory']>,
  };
}

/** The idle thread of processor 1 lies behind a KPRCB that grew (as in S01-7601). */
function processorsOf(base: Scenario, build: string): Scenario['processors'] {
  if (base.arch !== 'x86' || build.startsWith('5.')) return base.processors;
  return base.processors.map((processor, i) =>
    i === 1 ? { ...processor, idle: { ...processor.idle, at: 'f7741fa0' } } : processor,
  );
}

/** x86 kernels differ by build; the x64 images serve every layout. */
function nameOfKernel(base: Scenario, build: string): Scenario['modules'] {
  const nt = base.modules.nt;
  if (base.arch !== 'x86' || nt === undefined || build.startsWith('5.')) return base.modules;
  return {
    ...base.modules,
    nt: { ...nt, image: build.startsWith('6.') ? 'nt-7601.exe' : 'nt-19041.exe', name: 'ntkrnlpa.exe' },
  };
}

interface Built {
  readonly thread: ThreadSpec;
  readonly stack: StackContents;
  readonly memory: Readonly<Record<string, unknown>>;
}

function build64or32(arch: Arch, n: number, waiter: Waiter): Built {
  const base = arch === 'x64' ? 0xffff860000000000n + BigInt(n) * 0x8000n : 0xa2004000n + BigInt(n) * 0x4000n;
  const limit = base - (arch === 'x64' ? 0x6000n : 0x3000n);
  const kernelStack = base - 0x700n;
  const inCall = arch === 'x64' ? 0x40n + 0x330n : 0x78n;
  const object =
    waiter.object === 'own stack'
      ? hex(kernelStack + inCall)
      : waiter.object === 'static'
        ? staticObject(arch, waiter)
        : waiter.object;
  const driverThread = waiter.path === 'service' || waiter.path === 'work';
  const system = driverThread || waiter.path === 'kernel';
  const thread: ThreadSpec = {
    state: 'waiting',
    waitReason: 0,
    waitMode: 'kernel',
    waitTime: ago(arch, 600),
    contextSwitches: 40 + n,
    priority: 8,
    basePriority: 8,
    waits: [{ object, type: waiter.type ?? 1 }],
    startAddress: driverThread
      ? 'waitdrv!ServiceThread'
      : waiter.path === 'kernel'
        ? arch === 'x64'
          ? 'nt!ExpWorkerThread'
          : 'nt+12000'
        : arch === 'x64'
          ? '7ffd49d12680'
          : '7c810659',
    ...(system
      ? {}
      : { teb: arch === 'x64' ? hex(0xd400000000n + BigInt(n) * 0x2000n) : hex(0x7f000000n - BigInt(n) * 0x1000n) }),
    stack: { base: hex(base), limit: hex(limit), kernelStack: hex(kernelStack) },
    ...waiter.thread,
  };
  return arch === 'x64' ? x64(thread, kernelStack, waiter.path) : x86(thread, kernelStack, waiter.path);
}

/** Functions and the return addresses into them, from KiSwapContext outwards; sizes come from the unwind data. */
function x64(thread: ThreadSpec, kernelStack: bigint, path: Path): Built {
  const inWait: Readonly<Record<Path, Value>> = {
    suspended: 0,
    kernel: 'after(nt!ExpWorkerThread, nt!KeWaitForSingleObject)',
    service: 'waitdrv!ServiceThread+26',
    work: 'waitdrv!ServeRequests+3f',
    read: 'waitdrv!ServeRequests+3f',
    cleanup: 'waitdrv!CleanupDispatch+28',
  };
  const system = ['nt!PspSystemThreadStartup+57', 'nt!KiStartSystemThread+28', 0];
  const io = [
    'nt!IofCallDriver+59',
    'after(nt!IopSynchronousServiceTail, nt!IofCallDriver)',
    'after(nt!IopXxxControlFile, nt!IopSynchronousServiceTail)',
    'after(nt!NtDeviceIoControlFile, nt!IopXxxControlFile)',
    0,
  ];
  const above: Readonly<Record<Path, readonly Value[]>> = {
    suspended: [],
    kernel: system,
    service: system,
    work: ['after(waitdrv!ServiceThread, waitdrv!ServeRequests)', ...system],
    read: ['after(waitdrv!ReadDispatch, waitdrv!ServeRequests)', ...io],
    cleanup: io,
  };
  const returns: readonly Value[] = [
    'after(nt!KiSwapThread, nt!KiSwapContext)',
    'after(nt!KiCommitThreadWait, nt!KiSwapThread)',
    'after(nt!KeWaitForSingleObject, nt!KiCommitThreadWait)',
    inWait[path],
    ...above[path],
  ];
  return {
    thread,
    stack: {
      pc: 'after(nt!KiSwapContext, nt!SwapContext)',
      sp: hex(kernelStack + 0x40n),
      frames: returns.map((ret) => ({ ret })),
    },
    memory: { [hex(kernelStack + 0x38n)]: { qword: 'after(nt!KiSwapContext, nt!SwapContext)' } },
  };
}

/** The switch frame, KiSwapContext and KiSwapThread without EBP, then frames by EBP. */
function x86(thread: ThreadSpec, kernelStack: bigint, path: Path): Built {
  const at = (offset: number): string => hex(kernelStack + BigInt(offset));
  const memory = {
    [at(8)]: { dword: 'after(nt!KiSwapContext, nt!SwapContext)' },
    [at(0xc)]: { dword: at(0x4c) },
    [at(0x1c)]: { dword: 'after(nt!KiSwapThread, nt!KiSwapContext)' },
    [at(0x28)]: { dword: 'after(nt!KeWaitForSingleObject, nt!KiSwapThread)' },
  };
  const object = thread.waits?.[0]?.object ?? 0;
  const wait = (ret: Value) => ({ ebp: at(0x4c), ret, args: [object, 0, 0, 0, 0] });
  const io = [
    { ebp: at(0xb8), ret: 'nt!IopSynchronousServiceTail+60' },
    { ebp: at(0xdc), ret: 'nt!IopXxxControlFile+5c5' },
    { ebp: at(0x190), ret: 'nt!NtDeviceIoControlFile+2a' },
    { ebp: at(0x1d0), ret: 0 },
  ];
  const frames: Readonly<Record<Path, StackContents['frames']>> = {
    suspended: [wait(0)],
    kernel: [wait('nt+12080'), { ebp: at(0x6c), ret: 0 }],
    service: [wait('waitdrv!ServiceThread+1e'), { ebp: at(0x6c), ret: 0 }],
    work: [
      wait('waitdrv!ServeRequests+33'),
      { ebp: at(0x88), ret: 'after(waitdrv!ServiceThread, waitdrv!ServeRequests)' },
      { ebp: at(0x9c), ret: 0 },
    ],
    read: [
      wait('waitdrv!ServeRequests+33'),
      { ebp: at(0x88), ret: 'after(waitdrv!ReadDispatch, waitdrv!ServeRequests)' },
      { ebp: at(0x98), ret: 'nt!IofCallDriver+2e' },
      ...io,
    ],
    cleanup: [wait('waitdrv!CleanupDispatch+21'), { ebp: at(0x6c), ret: 'nt!IofCallDriver+2e' }, ...io],
  };
  return { thread, stack: { frames: frames[path] }, memory };
}

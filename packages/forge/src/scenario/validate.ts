import {
  anything,
  type Check,
  either,
  flag,
  hexBytes,
  integer,
  isRecord,
  list,
  object,
  oneOf,
  record,
  text,
  value,
} from './checks.ts';
import type { DerivedScenario, Scenario } from './scenario.ts';

const fields = record(value);

const memoryWrite: Check = (v, path, errors) => {
  const content = ['byte', 'word', 'dword', 'qword', 'pointer', 'bytes', 'ascii', 'utf16', 'dwords', 'qwords'];
  content.push('pointers', 'zero', 'fill');
  object({
    byte: value,
    word: value,
    dword: value,
    qword: value,
    pointer: value,
    bytes: hexBytes,
    ascii: text,
    utf16: text,
    dwords: list(value),
    qwords: list(value),
    pointers: list(value),
    zero: value,
    fill: list(value, 2),
    repeat: value,
    process: text,
    what: text,
  })(v, path, errors);
  if (isRecord(v) && content.filter((name) => v[name] !== undefined).length !== 1) {
    errors.push(`${path}: exactly one of ${content.join(', ')} expected`);
  }
};

const stack = object(
  {
    base: value,
    limit: value,
    kernelStack: value,
    initialStack: value,
    large: flag,
    callStack: value,
    resident: flag,
  },
  ['base', 'limit'],
);

const thread = object({
  at: value,
  tid: value,
  teb: value,
  win32Thread: value,
  state: oneOf('initialized', 'ready', 'running', 'standby', 'terminated', 'waiting', 'transition', 'deferred-ready'),
  waitReason: value,
  waitMode: oneOf('kernel', 'user'),
  alertable: flag,
  waitTime: value,
  waits: list(object({ object: value, type: value, key: value, any: flag }, ['object'])),
  waitTimer: flag,
  contextSwitches: value,
  kernelTime: value,
  userTime: value,
  priority: integer,
  basePriority: integer,
  priorityDecrement: integer,
  decrementCount: integer,
  affinity: value,
  idealProcessor: integer,
  processor: integer,
  stack,
  startAddress: value,
  win32StartAddress: value,
  trapFrame: value,
  irps: list(
    object(
      {
        at: value,
        stackCount: integer,
        flags: value,
        mdl: value,
        pending: flag,
        size: value,
        fields,
        locations: list(fields),
      },
      ['at'],
    ),
  ),
  suspendCount: integer,
  fields,
});

const process = object(
  {
    at: value,
    pid: value,
    parent: value,
    image: text,
    peb: value,
    deviceMap: value,
    session: value,
    threads: record(thread),
    fields,
    listed: flag,
  },
  ['pid', 'image'],
);

const range = object({ base: value, limit: value }, ['base', 'limit']);

const processor = object(
  {
    thread: text,
    next: text,
    state: oneOf('bugchecking', 'frozen', 'stale', 'running'),
    kpcr: value,
    context: record(value),
    special: record(value),
    irql: integer,
    debuggerSavedIrql: integer,
    idle: object({ at: value, stack, fields }),
    dpc: object({
      active: flag,
      stack: range,
      queue: list(
        object({ at: value, routine: value, context: value, importance: integer, threaded: flag }, ['routine']),
      ),
    }),
    isrStack: range,
    nmiStack: range,
    lockQueue: record(object({ next: value, lock: value }, ['next', 'lock'])),
    fields,
    kpcrFields: fields,
  },
  ['thread', 'state', 'context'],
);

const module = object(
  {
    image: text,
    base: value,
    name: text,
    path: text,
    size: value,
    timeDateStamp: value,
    checkSum: value,
    entryPoint: value,
    code: record(hexBytes),
    names: record(value),
    symbols: oneOf('pdb', 'exports', 'none'),
    resident: oneOf('all', 'headers', 'none'),
    process: text,
    listed: flag,
  },
  ['base'],
);

const header = object({
  bugcheck: object({ code: value, parameters: list(value) }, ['code']),
  comment: text,
  versionUser: text,
  attributes: value,
  productType: value,
  suiteMask: value,
  majorVersion: value,
  secondaryDataState: value,
  miniDumpFields: value,
  requiredDumpSpace: value,
  exception: object({ code: value, flags: value, address: value, parameters: list(value) }, ['code']),
  tool: text,
  unwritten: list(text),
});

const lock: Check = (v, path, errors) => {
  const queued = object(
    {
      kind: oneOf('queued'),
      at: value,
      queue: list(object({ handle: value, oldIrql: integer, owner: flag }, ['handle'])),
    },
    ['kind', 'at', 'queue'],
  );
  const plain = object({ kind: oneOf('queued', 'plain'), at: value, held: flag }, ['kind', 'at', 'held']);
  (isRecord(v) && v['kind'] === 'queued' ? queued : plain)(v, path, errors);
};

const resourceWaiter: Check = (v, path, errors) => {
  (typeof v === 'string' ? text : object({ thread: text, entry: value }, ['thread']))(v, path, errors);
};

const scenario = object(
  {
    id: text,
    title: text,
    about: text,
    arch: oneOf('x86', 'x64', 'arm64'),
    pae: flag,
    levels: oneOf(4, 5),
    build: text,
    dump: oneOf(
      'full',
      'kernel-summary',
      'triage',
      'bitmap-full',
      'bitmap-kernel',
      'automatic',
      'range-kernel',
      'range-kernel-user',
      'range-full',
    ),
    images: text,
    symbols: oneOf('pdb', 'exports', 'none'),
    relocate: record(value),
    processorOrder: list(integer),
    header,
    time: object({ tickCount: value, increment: value, systemTime: value, uptime: value, biasMinutes: integer }, [
      'tickCount',
    ]),
    kdbg: object({
      mode: oneOf('plain', 'encoded', 'absent'),
      size: value,
      waitNever: value,
      waitAlways: value,
      shift: value,
      fields,
    }),
    physical: object({
      upperBase: value,
      sparse: object({ base: value, count: value }, ['base', 'count']),
      largePages: list(value),
      mmio: list(object({ at: value, pa: value }, ['at', 'pa'])),
    }),
    triage: object({
      blocks: list(object({ at: value, length: value }, ['at', 'length'])),
      splits: list(value),
      allProcessors: flag,
      memory: flag,
      options: value,
      brokenDriver: text,
      stackBytes: value,
      codeBytes: value,
    }),
    modules: record(module),
    unloaded: list(object({ name: text, start: value, end: value, time: value }, ['name', 'start', 'end'])),
    processors: list(processor),
    processes: record(process),
    objects: record(
      object(
        {
          type: text,
          at: value,
          fields,
          emptyLists: list(text),
          pool: object({ tag: text, paged: flag, free: flag }, ['tag']),
          size: value,
        },
        ['type'],
      ),
    ),
    resources: record(
      object({
        at: value,
        exclusive: flag,
        owners: list(object({ thread: value, count: integer }, ['thread'])),
        exclusiveWaiters: list(resourceWaiter),
        sharedWaiters: list(resourceWaiter),
        contention: integer,
        activeCount: integer,
        listed: flag,
        fields,
      }),
    ),
    lists: list(object({ head: value, entries: list(value) }, ['head', 'entries'])),
    locks: record(lock),
    trapFrames: record(
      object(
        {
          at: value,
          regs: record(value),
          errorCode: value,
          previousIrql: integer,
          previousMode: oneOf('kernel', 'user'),
          fields,
        },
        ['at', 'regs'],
      ),
    ),
    stacks: record(
      object(
        {
          frames: list(
            object({
              at: text,
              ebp: value,
              fp: value,
              sp: value,
              pc: value,
              ret: value,
              args: list(value),
              slots: record(value),
              saved: record(value),
            }),
          ),
          sp: value,
          pc: value,
          process: text,
        },
        ['frames'],
      ),
    ),
    memory: record(either(value, memoryWrite)),
    drop: list(
      either(
        value,
        object(
          {
            at: value,
            length: value,
            process: text,
            as: oneOf(
              'absent',
              'unmapped',
              'paged-out',
              'demand-zero',
              'transition',
              'prototype',
              'prototype-paged-out',
            ),
            pageFile: integer,
            offset: value,
          },
          ['at'],
        ),
      ),
    ),
    blobs: list(object({ tag: text, bytes: hexBytes }, ['tag', 'bytes'])),
    expect: anything,
  },
  ['id', 'arch', 'build', 'dump', 'time', 'modules', 'processors', 'processes'],
);

const derived = object({ id: text, title: text, about: text, base: text, patch: record(anything), expect: anything }, [
  'id',
  'base',
  'patch',
]);

/** The input is no scenario: one line an error, each with the place it is at. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
  readonly errors: readonly string[];

  constructor(id: string, errors: readonly string[]) {
    super(`scenario ${id}: ${errors.join('\n')}`);
    this.errors = errors;
  }
}

function idOf(json: unknown): string {
  return isRecord(json) && typeof json['id'] === 'string' ? json['id'] : '(without id)';
}

/** True for a scenario that names another one as its base. */
export function isDerived(json: unknown): json is DerivedScenario {
  return isRecord(json) && json['base'] !== undefined;
}

export function checkDerived(json: unknown): DerivedScenario {
  const errors: string[] = [];
  derived(json, '', errors);
  if (errors.length > 0) throw new ScenarioError(idOf(json), errors);
  return json as DerivedScenario;
}

/** Checks a complete scenario; throws {@link ScenarioError} with every fault found. */
export function checkScenario(json: unknown): Scenario {
  const errors: string[] = [];
  scenario(json, '', errors);
  if (errors.length === 0 && isRecord(json)) checkReferences(json as unknown as Scenario, errors);
  if (errors.length > 0) throw new ScenarioError(idOf(json), errors);
  return json as Scenario;
}

function checkReferences(s: Scenario, errors: string[]): void {
  const threads = new Set<string>(['idle']);
  for (const [name, p] of Object.entries(s.processes)) {
    for (const thread of Object.keys(p.threads ?? {})) {
      if (threads.has(thread)) errors.push(`processes.${name}.threads.${thread}: a second thread of that name`);
      threads.add(thread);
    }
  }
  s.processors.forEach((cpu, index) => {
    if (!threads.has(cpu.thread)) errors.push(`processors[${index}].thread: no thread "${cpu.thread}"`);
    if (cpu.next !== undefined && !threads.has(cpu.next))
      errors.push(`processors[${index}].next: no thread "${cpu.next}"`);
  });
  if (s.processors.length === 0) errors.push('processors: at least one expected');
  if (s.processors.filter((cpu) => cpu.state === 'bugchecking').length > 1) {
    errors.push('processors: only one can be bugchecking');
  }
  const order = s.processorOrder;
  if (
    order !== undefined &&
    [...order].sort((a, b) => a - b).some((n, i) => n !== i || order.length !== s.processors.length)
  ) {
    errors.push(`processorOrder: a permutation of 0..${s.processors.length - 1} expected`);
  }
  for (const [name, m] of Object.entries(s.modules)) {
    if (m.process !== undefined && s.processes[m.process] === undefined) {
      errors.push(`modules.${name}.process: no process "${m.process}"`);
    }
    if (m.image === undefined && m.size === undefined) errors.push(`modules.${name}: an image or a size expected`);
  }
  if (s.modules['nt'] === undefined) errors.push('modules: "nt" is missing');
  for (const name of Object.keys(s.relocate ?? {})) {
    if (s.modules[name] === undefined) errors.push(`relocate.${name}: no such module`);
  }
  if (s.pae === true && s.arch !== 'x86') errors.push('pae: x86 only');
  if (s.levels !== undefined && s.arch !== 'x64') errors.push('levels: x64 only');
}

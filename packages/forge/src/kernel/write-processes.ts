import { ForgeError } from '../memory/address-space.ts';
import type { Fields, IrpSpec, Value, WaitSpec } from '../scenario/scenario.ts';
import type { ForgedProcess, ForgedThread, Machine } from './machine.ts';
import { StructWriter } from './struct-writer.ts';
import { ResourceWaits, writeResources } from './write-resources.ts';

const STATES = {
  initialized: 0,
  ready: 1,
  running: 2,
  standby: 3,
  terminated: 4,
  waiting: 5,
  transition: 6,
  'deferred-ready': 7,
} as const;

const THREAD_OBJECT = 6;
const PROCESS_OBJECT = 3;
const NOTIFICATION_TIMER = 8;
const WR_RESOURCE = 27;

/** Applies a scenario's own field values over what the forge wrote. */
export function applyFields(m: Machine, type: string, at: bigint, fields: Fields | undefined, where: string): void {
  for (const [path, value] of Object.entries(fields ?? {})) {
    m.write.must(type, at, path, m.value(value, `${where}.${path}`));
  }
}

/** Threads that wait on one dispatcher object: their wait blocks become that object's list. */
type Waiters = Map<bigint, bigint[]>;

export function writeProcesses(m: Machine): void {
  const waiters: Waiters = new Map();
  const resources = new ResourceWaits();
  writeResources(m, resources);
  const active: bigint[] = [];
  for (const process of m.processes) {
    writeProcess(m, process);
    for (const thread of process.threads) writeThread(m, thread, waiters, resources);
    linkThreads(m, process);
    if (process.listed && process.key !== 'Idle')
      active.push(process.at + offset(m, '_EPROCESS', 'ActiveProcessLinks'));
  }
  for (const [object, blocks] of waiters)
    m.write.linkList(object + offset(m, '_DISPATCHER_HEADER', 'WaitListHead'), blocks);
  resources.link(m);
  const head = m.global('PsActiveProcessHead');
  if (head !== undefined) m.write.linkList(head, active);
  for (const process of m.processes) {
    if (process.listed || process.key === 'Idle') continue;
    m.write.emptyListField('_EPROCESS', process.at, 'ActiveProcessLinks');
  }
}

function offset(m: Machine, type: string, path: string): bigint {
  return BigInt(m.layout.offset(type, path));
}

function linkThreads(m: Machine, process: ForgedProcess): void {
  const link = (type: string, path: string, headType: string, headPath: string): void => {
    const head = m.write.at(headType, process.at, headPath);
    const entry = m.layout.find(type, path);
    if (head === undefined || entry === undefined) return;
    m.write.linkList(
      head,
      process.threads.map((thread) => thread.at + BigInt(entry.offset)),
    );
  };
  link('_ETHREAD', 'ThreadListEntry', '_EPROCESS', 'ThreadListHead');
  link('_ETHREAD', 'Tcb.ThreadListEntry', '_EPROCESS', 'Pcb.ThreadListHead');
}

function header(m: Machine, type: string, at: bigint, path: string, object: number): void {
  m.write.set(type, at, `${path}.Type`, object);
  m.write.set(type, at, `${path}.Size`, Math.min(0xff, m.layout.size(type) >> 2));
  m.write.emptyListField(type, at, `${path}.WaitListHead`);
}

function objectHeader(m: Machine, at: bigint, references: number): void {
  const body = m.layout.find('_OBJECT_HEADER', 'Body');
  if (body === undefined) return;
  const start = at - BigInt(body.offset);
  m.write.set('_OBJECT_HEADER', start, 'PointerCount', references);
  m.write.set('_OBJECT_HEADER', start, 'HandleCount', 1);
}

function writeProcess(m: Machine, process: ForgedProcess): void {
  const { spec, at, key } = process;
  const where = `processes.${key}`;
  const w = m.write;
  const type = '_EPROCESS';
  m.kernel.touch(at, m.layout.size(type));
  header(m, type, at, 'Pcb.Header', PROCESS_OBJECT);
  if (process.key !== 'Idle') objectHeader(m, at, 0x20 + process.threads.length);
  for (const list of [
    'Pcb.ProfileListHead',
    'Pcb.ReadyListHead',
    'JobLinks',
    'SessionProcessLinks',
    'MmProcessLinks',
  ]) {
    w.emptyListField(type, at, list);
  }
  w.set(type, at, 'UniqueProcessId', process.pid);
  w.set(type, at, 'InheritedFromUniqueProcessId', m.valueOr(spec.parent, 0n, `${where}.parent`));
  w.set(type, at, 'Pcb.BasePriority', 8);
  w.any(type, at, ['Pcb.QuantumReset', 'Pcb.ThreadQuantum'], 6);
  // A thread that begins to exit is discounted; it stays on the list until its object goes.
  const alive = process.threads.filter(({ spec: thread }) => thread.state !== 'terminated');
  w.set(type, at, 'ActiveThreads', alive.length);
  w.set(type, at, 'ExitStatus', 0x103);
  w.set(type, at, 'Peb', m.valueOr(spec.peb, 0n, `${where}.peb`));
  w.set(type, at, 'DeviceMap', m.valueOr(spec.deviceMap, 0n, `${where}.deviceMap`));
  w.set(type, at, 'Session', m.valueOr(spec.session, 0n, `${where}.session`));
  const name = m.layout.find(type, 'ImageFileName');
  if (name !== undefined) {
    const text = spec.image.slice(0, Math.min(15, name.size - 1));
    w.ascii(at + BigInt(name.offset), text);
  }
  m.fixups.push((directoryOf) => {
    const base = directoryOf(process);
    // XP keeps two words here (the second is the hyperspace page table's frame).
    const place = m.layout.find(type, 'Pcb.DirectoryTableBase[0]') ?? m.layout.find(type, 'Pcb.DirectoryTableBase');
    if (place !== undefined)
      m.kernel.writeInteger(at + BigInt(place.offset), Math.min(place.size, m.pointerSize), base);
  });
  applyFields(m, type, at, spec.fields, `${where}.fields`);
}

function writeThread(m: Machine, thread: ForgedThread, waiters: Waiters, resources: ResourceWaits): void {
  const { spec, at, process } = thread;
  const where = thread.idleOf === null ? `processes.${process.key}.threads.${thread.key}` : thread.key;
  const w = m.write;
  const type = '_ETHREAD';
  const set = (paths: string | readonly string[], value: bigint | number): void => {
    w.any(type, at, typeof paths === 'string' ? [paths] : paths, value);
  };
  const value = (v: Value | undefined, name: string): bigint => m.valueOr(v, 0n, `${where}.${name}`);
  m.kernel.touch(at, m.layout.size(type));
  header(m, type, at, 'Tcb.Header', THREAD_OBJECT);
  if (thread.idleOf === null) objectHeader(m, at, 3);
  for (const list of [
    'Tcb.MutantListHead',
    'Tcb.ApcState.ApcListHead[0]',
    'Tcb.ApcState.ApcListHead[1]',
    'PostBlockList',
    'IrpList',
    'ActiveTimerListHead',
    'Tcb.SavedApcState.ApcListHead[0]',
    'Tcb.SavedApcState.ApcListHead[1]',
  ]) {
    w.emptyListField(type, at, list);
  }
  const state = spec.state ?? 'waiting';
  const running = m.processors.find((cpu) => cpu.thread === thread);
  set('Tcb.State', STATES[state]);
  set('Tcb.Running', running === undefined ? 0 : 1);
  set('Tcb.NextProcessor', running?.number ?? spec.processor ?? 0);
  set('Tcb.Process', process.at);
  set('Tcb.ApcState.Process', process.at);
  set('ThreadsProcess', process.at);
  set('Cid.UniqueProcess', process.pid);
  set('Cid.UniqueThread', thread.tid);
  set('Tcb.Teb', value(spec.teb, 'teb'));
  set('Tcb.Win32Thread', value(spec.win32Thread, 'win32Thread'));
  set('Tcb.WaitReason', value(spec.waitReason, 'waitReason'));
  set('Tcb.WaitMode', spec.waitMode === 'user' ? 1 : 0);
  set('Tcb.Alertable', spec.alertable === true ? 1 : 0);
  set('Tcb.WaitTime', value(spec.waitTime, 'waitTime'));
  set('Tcb.ContextSwitches', value(spec.contextSwitches, 'contextSwitches'));
  set('Tcb.KernelTime', value(spec.kernelTime, 'kernelTime'));
  set('Tcb.UserTime', value(spec.userTime, 'userTime'));
  set('Tcb.Priority', spec.priority ?? 8);
  set('Tcb.BasePriority', spec.basePriority ?? spec.priority ?? 8);
  set('Tcb.PriorityDecrement', spec.priorityDecrement ?? 0);
  set('Tcb.DecrementCount', spec.decrementCount ?? 0);
  set('Tcb.IdealProcessor', spec.idealProcessor ?? thread.idleOf ?? 0);
  set(['Tcb.UserIdealProcessor'], spec.idealProcessor ?? thread.idleOf ?? 0);
  set('Tcb.SuspendCount', spec.suspendCount ?? 0);
  set('ThreadIoPriority', 2);
  set('ThreadPagePriority', 5);
  set('Tcb.QuantumReset', 6);
  set('Tcb.KernelStackResident', spec.stack?.resident === false ? 0 : 1);
  set('Tcb.PreviousMode', spec.teb === undefined ? 0 : 1);
  if (spec.teb === undefined) set(['SystemThread', 'Tcb.SystemThread'], 1);
  const affinity =
    spec.affinity === undefined ? (1n << BigInt(m.processors.length)) - 1n : value(spec.affinity, 'affinity');
  const own = thread.idleOf === null ? affinity : 1n << BigInt(thread.idleOf);
  set(['Tcb.Affinity.Bitmap[0]', 'Tcb.Affinity.Mask', 'Tcb.Affinity'], own);
  set(['Tcb.UserAffinity.Bitmap[0]', 'Tcb.UserAffinity.Mask', 'Tcb.UserAffinity'], own);
  set('StartAddress', value(spec.startAddress, 'startAddress'));
  set('Win32StartAddress', value(spec.win32StartAddress, 'win32StartAddress'));
  set('Tcb.TrapFrame', value(spec.trapFrame, 'trapFrame'));
  writeStack(m, thread, where);
  writeWaits(m, thread, waiters, resources.objectOf(m, thread), where);
  writeIrps(m, thread, where);
  writeTeb(m, thread);
  applyFields(m, type, at, spec.fields, `${where}.fields`);
}

function writeStack(m: Machine, thread: ForgedThread, where: string): void {
  const { spec, at } = thread;
  const stack = spec.stack;
  const set = (path: string, value: bigint | number): void => {
    m.write.set('_ETHREAD', at, `Tcb.${path}`, value);
  };
  const size = m.regions.stackSize;
  const limit =
    stack === undefined ? m.system.take(size + 0x1000, 0x1000) + 0x1000n : m.value(stack.limit, `${where}.stack.limit`);
  const base = stack === undefined ? limit + BigInt(size) : m.value(stack.base, `${where}.stack.base`);
  if (base <= limit || base - limit > 0x100000n)
    throw new ForgeError(`${where}.stack: base must lie above limit, at most 1 MiB`);
  const initial = m.valueOr(stack?.initialStack, base, `${where}.stack.initialStack`);
  set('InitialStack', initial);
  set('StackBase', base);
  set('StackLimit', limit);
  set('KernelStack', m.valueOr(stack?.kernelStack, base - 0x400n, `${where}.stack.kernelStack`));
  set('CallbackStack', m.valueOr(stack?.callStack, 0n, `${where}.stack.callStack`));
  set('LargeStack', stack?.large === true ? 1 : 0);
  // A thread without a stack of its own in the scenario gets one page: the top of an idle stack.
  if (stack === undefined) m.kernel.touch(base - 0x1000n, 0x1000);
  else if (stack.resident !== false) m.kernel.touch(limit, Number(base - limit));
}

/** A wait for a resource has a time limit, after which it begins again. */
function writeWaits(m: Machine, thread: ForgedThread, waiters: Waiters, resource: bigint | null, where: string): void {
  const { spec } = thread;
  const waits: readonly WaitSpec[] =
    resource === null ? (spec.waits ?? []) : [...(spec.waits ?? []), { object: `0x${resource.toString(16)}` }];
  if (resource !== null && spec.waitReason === undefined)
    m.write.set('_ETHREAD', thread.at, 'Tcb.WaitReason', WR_RESOURCE);
  const timed = spec.waitTimer ?? resource !== null;
  if (waits.length === 0 && !timed) return;
  const inline = m.write.at('_ETHREAD', thread.at, 'Tcb.WaitBlock') ?? 0n;
  const size = m.layout.size('_KWAIT_BLOCK');
  // A thread has four wait blocks of its own, the last one for its timer; longer waits bring their own array.
  const first = waits.length <= 3 ? inline : m.nonPaged.take(size * waits.length, 0x10);
  m.write.set('_ETHREAD', thread.at, 'Tcb.WaitBlockList', first);
  m.write.set('_ETHREAD', thread.at, 'Tcb.WaitBlockCount', waits.length);
  waits.forEach((wait, index) => {
    const block = first + BigInt(size * index);
    const object = m.value(wait.object, `${where}.waits[${index}].object`);
    const set = (path: string, value: bigint | number): void => {
      m.write.set('_KWAIT_BLOCK', block, path, value);
    };
    set('Thread', thread.at);
    set('Object', object);
    set('NextWaitBlock', index + 1 < waits.length ? block + BigInt(size) : timed ? inline + BigInt(3 * size) : first);
    set('WaitKey', m.valueOr(wait.key, BigInt(index), `${where}.waits[${index}].key`));
    set('WaitType', wait.any === false ? 0 : 1);
    set('BlockState', 4); // WaitBlockActive
    if (wait.type !== undefined) {
      m.write.set('_DISPATCHER_HEADER', object, 'Type', m.value(wait.type, `${where}.waits[${index}].type`));
    }
    const list = waiters.get(object) ?? [];
    list.push(block + offset(m, '_KWAIT_BLOCK', 'WaitListEntry'));
    waiters.set(object, list);
  });
  if (timed) writeTimer(m, thread, waits.length === 0 ? inline + BigInt(3 * size) : first, inline + BigInt(3 * size));
}

/**
 * The fourth wait block is the timer's. Up to 7 it is in the ring of wait blocks; later it stands beside the array, and on
 * x86 other members of the KTHREAD lie over its Object.
 */
function writeTimer(m: Machine, thread: ForgedThread, first: bigint, block: bigint): void {
  const timer = m.write.at('_ETHREAD', thread.at, 'Tcb.Timer');
  if (timer === undefined) return;
  m.write.set('_DISPATCHER_HEADER', timer, 'Type', NOTIFICATION_TIMER);
  m.write.set('_DISPATCHER_HEADER', timer, 'Inserted', 1);
  m.write.linkList(timer + offset(m, '_DISPATCHER_HEADER', 'WaitListHead'), [
    block + offset(m, '_KWAIT_BLOCK', 'WaitListEntry'),
  ]);
  m.write.set('_ETHREAD', thread.at, 'Tcb.TimerActive', 1);
  if (m.layout.find('_KWAIT_BLOCK', 'NextWaitBlock') === undefined) return;
  m.write.set('_ETHREAD', thread.at, 'Tcb.WaitBlockList', first);
  for (const [path, value] of [
    ['Thread', thread.at],
    ['Object', timer],
    ['NextWaitBlock', first],
    ['WaitKey', 0x102n],
    ['WaitType', 1n],
    ['BlockState', 4n],
  ] as const)
    m.write.set('_KWAIT_BLOCK', block, path, value);
}

function writeIrps(m: Machine, thread: ForgedThread, where: string): void {
  const irps = thread.spec.irps ?? [];
  const head = m.write.at('_ETHREAD', thread.at, 'IrpList');
  const entries = irps.map((irp, index) => writeIrp(m, thread, irp, `${where}.irps[${index}]`));
  if (head !== undefined && entries.length > 0) m.write.linkList(head, entries);
}

function writeIrp(m: Machine, thread: ForgedThread, irp: IrpSpec, where: string): bigint {
  const at = m.value(irp.at, `${where}.at`);
  const size = m.layout.size('_IRP');
  const location = m.layout.size('_IO_STACK_LOCATION');
  const count = irp.stackCount ?? Math.max(irp.locations?.length ?? 1, 1);
  const w = m.write;
  m.kernel.touch(at, size + location * count);
  w.set('_IRP', at, 'Type', 6);
  w.set('_IRP', at, 'Size', m.valueOr(irp.size, BigInt(size + location * count), `${where}.size`));
  w.set('_IRP', at, 'MdlAddress', m.valueOr(irp.mdl, 0n, `${where}.mdl`));
  w.set('_IRP', at, 'Flags', m.valueOr(irp.flags, 0n, `${where}.flags`));
  w.set('_IRP', at, 'StackCount', count);
  w.set('_IRP', at, 'CurrentLocation', count);
  w.set('_IRP', at, 'PendingReturned', irp.pending === true ? 1 : 0);
  w.set('_IRP', at, 'Tail.Overlay.Thread', thread.at);
  irp.locations?.forEach((fields, index) => {
    applyFields(m, '_IO_STACK_LOCATION', at + BigInt(size + location * index), fields, `${where}.locations[${index}]`);
  });
  const current = at + BigInt(size + location * (count - 1));
  w.set('_IRP', at, 'Tail.Overlay.CurrentStackLocation', current);
  applyFields(m, '_IRP', at, irp.fields, `${where}.fields`);
  return at + offset(m, '_IRP', 'ThreadListEntry');
}

/** The head of a TEB: NT_TIB, client id, PEB; offsets are the same in every version. */
function writeTeb(m: Machine, thread: ForgedThread): void {
  const { spec, process } = thread;
  if (spec.teb === undefined || process.space === null) return;
  const teb = m.value(spec.teb, `threads.${thread.key}.teb`);
  const w = new StructWriter(m.layout, process.space, m.pointerSize);
  const p = BigInt(m.pointerSize);
  process.space.touch(teb, 0x1000);
  w.pointer(teb, m.pointerSize === 4 ? 0xffffffffn : 0n); // ExceptionList
  w.pointer(teb + 6n * p, teb); // Self
  w.pointer(teb + 8n * p, BigInt(process.pid));
  w.pointer(teb + 9n * p, BigInt(thread.tid));
  if (process.spec.peb !== undefined) w.pointer(teb + 12n * p, m.value(process.spec.peb, 'peb'));
}

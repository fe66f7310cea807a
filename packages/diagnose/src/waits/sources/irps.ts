/**
 * Events that the completion of an IRP sets, and the device whose driver has that IRP. An IRP belongs to a wait by
 * equality of objects only: its UserEvent, the Event of its file object, or the context of a completion routine. A thread
 * that has some IRP pending and waits for something else is not waiting for I/O.
 */
import {
  currentIrpLocation,
  driverOfDevice,
  IO_TYPE_IRP,
  IRP_MAJOR_NAMES,
  type Irp,
  OBJECT_TYPE,
  readIrp,
  Structure,
  type Thread,
  threadIrps,
} from '@dumpscope/debugger';
import { argument, plural } from '../../engine/words.ts';
import { stackPointers } from '../../facts/stack-pointers.ts';
import { defineEdgeSource, type EdgeSource, type NewEdge, type WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';
import { irpLinks } from './irp-links.ts';

const MAX_IRPS_OF_THREAD = 1024;
const MAX_IRPS = 100_000;
/** Waiters whose stacks are searched. */
const MAX_SEARCHES = 2048;

export const irpSource: EdgeSource = defineEdgeSource({
  id: 'irp',
  run(builder: WaitGraphBuilder): void {
    const wanted = waitedEvents(builder);
    if (wanted.size === 0) return;
    const { target } = builder.diagnosis;
    const links = new IrpLinker(builder, wanted);
    let read = 0;
    let cut = 0;
    for (const thread of target.threads()) {
      const list = threadIrps(target, thread, MAX_IRPS_OF_THREAD);
      if (list?.end !== 'head') cut++;
      for (const address of list?.irps ?? []) {
        if (read++ >= MAX_IRPS) {
          builder.limit('IRPs', `more than ${MAX_IRPS} on the lists of threads`);
          return;
        }
        links.add(address, true);
      }
    }
    if (cut > 0) builder.limit('IRPs', `the lists of ${plural(cut, 'thread')} could not be followed to their end`);
    // IRPs that a driver allocated itself are on no list: those that the frames of a waiter keep.
    let searches = 0;
    for (const wait of builder.waits) {
      const [block] = wait.blocks;
      if (block === undefined || wait.blocks.length !== 1 || !wanted.has(block.object)) continue;
      if (links.linked(block.object) || !onOwnStack(wait.thread, block.object)) continue;
      if (searches++ >= MAX_SEARCHES) break;
      stackPointers(target, wait.thread, (pointer) => {
        links.add(pointer, false);
        return false;
      });
    }
  },
});

/** Events that threads wait for and that no lock claimed. */
function waitedEvents(builder: WaitGraphBuilder): ReadonlySet<bigint> {
  const found = new Set<bigint>();
  for (const wait of builder.waits) {
    for (const block of wait.blocks) {
      if (block.type !== OBJECT_TYPE.notificationEvent && block.type !== OBJECT_TYPE.synchronizationEvent) continue;
      if (!builder.claimed(block)) found.add(block.object);
    }
  }
  return found;
}

function onOwnStack(thread: Thread, object: bigint): boolean {
  return (
    thread.stackBase !== null && thread.stackLimit !== null && object >= thread.stackLimit && object < thread.stackBase
  );
}

class IrpLinker {
  readonly #builder: WaitGraphBuilder;
  readonly #wanted: ReadonlySet<bigint>;
  readonly #seen = new Set<bigint>();
  readonly #linked = new Set<bigint>();

  constructor(builder: WaitGraphBuilder, wanted: ReadonlySet<bigint>) {
    this.#builder = builder;
    this.#wanted = wanted;
  }

  linked(event: bigint): boolean {
    return this.#linked.has(event);
  }

  /** `listed`: on a thread's list. An address from a stack must look like an IRP that a driver has, and may be stale. */
  add(address: bigint, listed: boolean): void {
    const { target } = this.#builder.diagnosis;
    if (this.#seen.has(address)) return;
    if (target.memory.u16(address) !== IO_TYPE_IRP) return;
    this.#seen.add(address);
    if (listed) addFileLock(this.#builder, address, this.#wanted);
    const links = irpLinks(target, address, this.#wanted);
    const irp = links.length === 0 ? null : readIrp(target, address);
    if (irp === null || (!listed && currentIrpLocation(target, irp) === null)) return;
    const node: GraphNode = { kind: 'object', object: 'IRP', address };
    for (const link of links) {
      this.#linked.add(link.event);
      answer(this.#builder, {
        from: { kind: 'object', object: 'event', address: link.event },
        to: node,
        certainty: listed ? link.certainty : 'inferred',
        combination: 'any',
        proof: [link.proof],
      });
    }
    addDevice(this.#builder, node, irp);
  }
}

type Answer = Omit<NewEdge, 'relation'>;

function answer(builder: WaitGraphBuilder, edge: Answer): void {
  builder.add({ ...edge, relation: 'answered-by' });
}

/** FILE_OBJECT.Flags: one request at a time; the others wait for Lock. */
const FO_SYNCHRONOUS_IO = 2;

/** A synchronous file object is busy for one thread: the one whose request is pending on it. */
function addFileLock(builder: WaitGraphBuilder, address: bigint, wanted: ReadonlySet<bigint>): void {
  const { target } = builder.diagnosis;
  const packet = new Structure(target, '_IRP', address);
  const file = packet.follow('Tail.Overlay.OriginalFileObject', '_FILE_OBJECT');
  if (file === undefined) return;
  const lock = file.addressOf('Lock');
  if (lock === undefined || !wanted.has(lock)) return;
  const thread = packet.value('Tail.Overlay.Thread') ?? 0n;
  if (thread === 0n || ((file.number('Flags') ?? 0) & FO_SYNCHRONOUS_IO) === 0 || (file.number('Busy') ?? 0) === 0)
    return;
  builder.add({
    from: { kind: 'object', object: 'event', address: lock },
    to: { kind: 'thread', address: thread },
    relation: 'owned-by',
    certainty: 'inferred',
    combination: 'any',
    proof: [
      {
        claim: `event ${argument(target, lock)} is the lock of synchronous file object ${argument(target, file.address)}, which is busy; IRP ${argument(target, address)} of thread ${argument(target, thread)} is pending on it`,
        address: file.addressOf('Busy') ?? null,
        length: 4,
        command: `dt nt!_FILE_OBJECT ${argument(target, file.address)}`,
        source: '_FILE_OBJECT.Busy, Lock',
      },
    ],
  });
}

/** Null device for an IRP that every driver is through with: its completion is on its way. */
function addDevice(builder: WaitGraphBuilder, from: GraphNode, irp: Irp): void {
  const { target } = builder.diagnosis;
  const text = argument(target, irp.address);
  const current = currentIrpLocation(target, irp);
  if (current === null) {
    if (irp.currentLocation <= irp.stackCount)
      builder.limit(`which driver has IRP ${text}`, 'its current stack location could not be read');
    return;
  }
  if (current.device === null || current.device === 0n) {
    builder.limit(`which driver has IRP ${text}`, 'its current stack location names no device');
    return;
  }
  const driver = driverOfDevice(target, current.device);
  const module = driver?.start == null ? null : (target.moduleAt(driver.start) ?? null);
  const major = current.major === null ? undefined : IRP_MAJOR_NAMES[current.major];
  const code = major === undefined ? `major ${current.major ?? '?'}` : `IRP_MJ_${major}`;
  const owner = module?.name ?? driver?.name ?? 'a driver that could not be read';
  answer(builder, {
    from,
    to: { kind: 'device', address: current.device },
    certainty: 'recorded',
    proof: [
      {
        claim: `IRP ${text} (${code}) is at stack location ${irp.currentLocation} of ${irp.stackCount}: device ${argument(target, current.device)} of ${owner} has it`,
        address: current.address,
        length: irp.locationSize,
        command: `!irp ${text}`,
        source: '_IO_STACK_LOCATION.DeviceObject',
      },
    ],
  });
}

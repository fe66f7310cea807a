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
  type IrpLocation,
  irpLocations,
  OBJECT_TYPE,
  readIrp,
  Structure,
  threadIrps,
} from '@dumpscope/debugger';
import { argument } from '../../engine/words.ts';
import { defineEdgeSource, type EdgeSource, type WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';
import type { Certainty, EdgeProof, GraphEdge } from '../wait-edge.ts';

const MAX_IRPS_OF_THREAD = 1024;
const MAX_IRPS = 100_000;

export const irpSource: EdgeSource = defineEdgeSource({
  id: 'irp',
  run(builder: WaitGraphBuilder): void {
    const wanted = waitedEvents(builder);
    if (wanted.size === 0) return;
    const linked = new Set<bigint>();
    let read = 0;
    for (const thread of builder.diagnosis.target.threads()) {
      for (const address of threadIrps(builder.diagnosis.target, thread, MAX_IRPS_OF_THREAD)?.irps ?? []) {
        if (read++ >= MAX_IRPS) {
          builder.limit('IRPs', `more than ${MAX_IRPS} on the lists of threads`);
          return;
        }
        if (linked.has(address)) continue;
        linked.add(address);
        addIrp(builder, address, wanted);
      }
    }
  },
});

/** Events that threads wait for and that are not set. */
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

interface Link {
  readonly event: bigint;
  readonly certainty: Certainty;
  readonly proof: EdgeProof;
}

function addIrp(builder: WaitGraphBuilder, address: bigint, wanted: ReadonlySet<bigint>): void {
  const { target } = builder.diagnosis;
  const irp = readIrp(target, address);
  if (irp === null || irp.type !== IO_TYPE_IRP) return;
  const locations = irpLocations(target, irp);
  const links = linksOf(builder, irp, locations).filter(({ event }) => wanted.has(event));
  if (links.length === 0) return;
  const node: GraphNode = { kind: 'object', object: 'IRP', address };
  for (const link of links)
    answer(builder, {
      from: { kind: 'object', object: 'event', address: link.event },
      to: node,
      certainty: link.certainty,
      combination: 'any',
      proof: [link.proof],
    });
  addDevice(builder, node, irp);
}

type Answer = Pick<GraphEdge, 'from' | 'to' | 'certainty' | 'combination' | 'proof'>;

function answer(builder: WaitGraphBuilder, edge: Answer): void {
  builder.add({ ...edge, relation: 'answered-by', access: null, escape: null, since: null });
}

function linksOf(builder: WaitGraphBuilder, irp: Irp, locations: readonly IrpLocation[]): Link[] {
  const { target } = builder.diagnosis;
  const links: Link[] = [];
  const text = argument(target, irp.address);
  const command = `!irp ${text}`;
  const packet = new Structure(target, '_IRP', irp.address);
  const size = target.pointerSize;
  if (irp.userEvent !== null && irp.userEvent !== 0n)
    links.push({
      event: irp.userEvent,
      certainty: 'recorded',
      proof: {
        claim: `the event is the UserEvent of IRP ${text}`,
        address: packet.addressOf('UserEvent') ?? null,
        length: size,
        command,
        source: '_IRP.UserEvent',
      },
    });
  // Completion sets the file object's event only where the IRP has none of its own.
  else if (irp.originalFile !== null && irp.originalFile !== 0n) {
    const event = new Structure(target, '_FILE_OBJECT', irp.originalFile).addressOf('Event');
    if (event !== undefined)
      links.push({
        event,
        certainty: 'recorded',
        proof: {
          claim: `the event is that of file object ${argument(target, irp.originalFile)}, for which IRP ${text} was issued`,
          address: packet.addressOf('Tail.Overlay.OriginalFileObject') ?? null,
          length: size,
          command,
          source: '_IRP.Tail.Overlay.OriginalFileObject',
        },
      });
  }
  for (const { address, index, completion, context } of locations) {
    if (index < irp.currentLocation || context === null || context === 0n) continue;
    if (completion === null || completion === 0n) continue;
    links.push({
      event: context,
      certainty: 'inferred',
      proof: {
        claim: `the event is the context of completion routine ${target.nameOf(completion).text} of IRP ${text}`,
        address: new Structure(target, '_IO_STACK_LOCATION', address).addressOf('Context') ?? null,
        length: size,
        command,
        source: '_IO_STACK_LOCATION.Context',
      },
    });
  }
  return links;
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
    combination: 'all',
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

/** Nodes and edges of the wait graph in words. */
import { driverOfDevice, type Target } from '@dumpscope/debugger';
import { address, clock } from '../engine/words.ts';
import type { GraphNode } from './node.ts';
import type { GraphEdge } from './wait-edge.ts';

export function nodeText(target: Target, node: GraphNode): string {
  switch (node.kind) {
    case 'processor':
      return `processor ${node.number}`;
    case 'thread':
      return threadText(target, node.address);
    case 'object':
      return `${node.object} ${address(target, node.address)}`;
    case 'process':
      return processText(target, node.address);
    case 'device':
      return deviceText(target, node.address);
    case 'unknown':
      return node.label;
  }
}

function processText(target: Target, process: bigint): string {
  const image = target.process(process)?.image ?? null;
  return `process ${address(target, process)}${image === null ? '' : ` (${image})`}`;
}

/** `device 83a… of qdrv`: the module that its driver's image is, else the driver's own name. */
function deviceText(target: Target, device: bigint): string {
  const driver = driverOfDevice(target, device);
  const module = driver?.start == null ? undefined : target.moduleAt(driver.start);
  const owner = module?.name ?? driver?.name ?? null;
  return `device ${address(target, device)}${owner === null ? '' : ` of ${owner}`}`;
}

/** `thread ffffdf82… (System)`. */
export function threadText(target: Target, thread: bigint): string {
  const process = target.thread(thread)?.owningProcess ?? null;
  const image = process === null ? null : (target.process(process)?.image ?? null);
  return `thread ${address(target, thread)}${image === null ? '' : ` (${image})`}`;
}

/** `for 3.200 s`, `for at least 3.200 s`; empty where the age is not known. */
export function ageText(edge: GraphEdge): string {
  const { since } = edge;
  if (since === null) return '';
  return since.maxSeconds === null ? ` for at least ${clock(since.minSeconds)}` : ` for ${clock(since.minSeconds)}`;
}

/** `waits for executive resource X (exclusive) for 3.200 s`, `is owned by thread Y`. */
export function edgeText(target: Target, edge: GraphEdge): string {
  const to = nodeText(target, edge.to);
  const access = edge.access === null ? '' : ` (${edge.access})`;
  switch (edge.relation) {
    case 'waits-for':
      return `waits for ${to}${access}${ageText(edge)}`;
    case 'owned-by':
      return `is owned${edge.access === 'exclusive' ? ' exclusively' : edge.access === null ? '' : ` ${edge.access}`} by ${to}`;
    case 'answered-by':
      return answerText(edge, to);
    case 'ends-with':
      return edge.to.kind === 'process' ? `is signalled when ${to} has ended` : `is signalled when ${to} ends`;
    case 'needs-processor':
      return `is ready${ageText(edge)} and needs ${to}`;
    case 'runs-on':
      return `runs on ${to}`;
    default:
      return `spins on ${to}`;
  }
}

/** What is asked of whom: messages, I/O requests, queued work. */
function answerText({ from, to: { kind } }: GraphEdge, to: string): string {
  switch (from.kind === 'object' ? from.object : null) {
    case 'ALPC message':
      return kind === 'thread' ? `was received by ${to} and not answered` : `lies unread at ${to}`;
    case 'LPC reply':
      return `is owed by ${to}`;
    case 'ALPC port':
      return `is served by ${to}`;
    case 'IRP':
      return `is with ${to}`;
    case 'event':
      return `is to be set by ${to}`;
    case 'queued work':
      return `is left to ${to}`;
    default:
      return `is to be completed by ${to}`;
  }
}

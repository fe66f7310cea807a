import { driverOfDevice } from '@dumpscope/debugger';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { argument, clock, json, list, plural } from '../../engine/words.ts';
import { threadFrames } from '../../facts/thread-frames.ts';
import { blameUnloaded } from '../../facts/unloaded-code.ts';
import { blankFinding } from '../../report/blank.ts';
import { graphPicture } from '../../report/graph-picture.ts';
import type { Confidence, Finding } from '../../report/report.ts';
import { type WaitChain, waitChains } from '../../waits/chains.ts';
import { citeEdges } from '../../waits/cite.ts';
import { type EndState, endState } from '../../waits/end-state.ts';
import { type GraphNode, keyOf, type ObjectKind } from '../../waits/node.ts';
import type { GraphEdge } from '../../waits/wait-edge.ts';
import { waitGraph } from '../../waits/wait-graph.ts';
import { edgeText, nodeText, threadText } from '../../waits/words.ts';
import { type Weight, weigh } from './weigh.ts';

/** Chains beyond this are counted in the last one's summary. */
const MAX_CHAINS = 12;
const MAX_POSSIBLE = 4;
const MAX_OTHERS = 4;
const MAX_NAMED = 16;
const MAX_EDGES = 40;
const MAX_CITED = 24;

const order: readonly Confidence[] = ['proven', 'strong', 'likely', 'possible'];

/** Threads that wait for an object whose owner is known, and where the chain of owners ends. */
export const waitChain: Pattern = definePattern({
  id: 'wait-chain',
  title: 'Wait Chain',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const weighed = waitChains(diagnosis.fact(waitGraph)).flatMap((chain) => {
      const end = endState(diagnosis, chain.end, chain.holder);
      const weight = weigh(diagnosis, chain, end);
      return weight === null ? [] : [{ chain, end, weight }];
    });
    weighed.sort((a, b) => order.indexOf(a.weight.confidence) - order.indexOf(b.weight.confidence));
    const groups = byObject(weighed);
    const vague = groups.findIndex(([first]) => first.weight.confidence === 'possible');
    const shown = groups.slice(0, vague < 0 ? MAX_CHAINS : Math.min(MAX_CHAINS, vague + MAX_POSSIBLE));
    return shown.map((group, index) =>
      finding(diagnosis, group, index === shown.length - 1 ? groups.length - shown.length : 0),
    );
  },
});

interface Weighed {
  readonly chain: WaitChain;
  readonly end: EndState;
  readonly weight: Weight;
}

/** Owners of one object are told together, the surest first: its waiters wait for all of them. */
function byObject(weighed: readonly Weighed[]): readonly (readonly [Weighed, ...Weighed[]])[] {
  const groups = new Map<string, [Weighed, ...Weighed[]]>();
  for (const one of weighed) {
    const object = lastObject(one.chain);
    const key = keyOf(object ?? one.chain.end);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return [...groups.values()];
}

/** What the end is waited for: the kind of the object with the most waiters that the last holder keeps. */
function lastObject(chain: WaitChain): Extract<GraphNode, { kind: 'object' }> | null {
  // A wait for I/O and nothing else: the request itself.
  const request = chain.holder === null && chain.end.kind === 'device' ? chain.path.at(-1)?.from : undefined;
  if (request?.kind === 'object') return request;
  const waiters = new Map<GraphNode, number>();
  for (const edge of chain.holds) {
    if (edge.from.kind !== 'object') continue;
    if (chain.holder !== null && (edge.to.kind !== 'thread' || edge.to.address !== chain.holder)) continue;
    const { object, address } = edge.from;
    const count = chain.edges.filter(
      ({ to }) => to.kind === 'object' && to.object === object && to.address === address,
    ).length;
    // A lock before an object that is waited for by design.
    waiters.set(edge.from, edge.relation === 'owned-by' ? count + 1_000_000 : count);
  }
  const best =
    [...waiters].sort((a, b) => b[1] - a[1])[0]?.[0] ?? chain.holds.find(({ from }) => from.kind === 'object')?.from;
  return best?.kind === 'object' ? best : null;
}

function verdictOf(kind: ObjectKind | null): string {
  return kind === null ? 'unknown-object' : kind.toLowerCase().replaceAll(' ', '-');
}

function finding(diagnosis: Diagnosis, [first, ...others]: readonly [Weighed, ...Weighed[]], hidden: number): Finding {
  const { chain, end, weight } = first;
  const { target } = diagnosis;
  const evidence = diagnosis.evidence('chain');
  const object = lastObject(chain);
  const name = (one: Weighed): string =>
    one.chain.holder === null ? nodeText(target, one.chain.end) : `thread ${argument(target, one.chain.holder)}`;
  const holder = chain.holder === null ? nodeText(target, chain.end) : threadText(target, chain.holder);
  if (end.proof !== null) {
    const { claim, address, length, command } = end.proof;
    if (address === null) evidence.fact(claim, 'true', command, 'processor state');
    else evidence.memory(claim, 'true', address, length, command);
  }
  citeEdges(evidence, [...chain.path, ...chain.holds.filter((edge) => !chain.path.includes(edge))].slice(0, MAX_CITED));
  const blame = blameOf(diagnosis, chain, evidence);
  const kept = chain.holds.filter(({ to }) => to.kind === 'thread' && to.address === chain.holder);
  const owned = kept.filter(({ relation }) => relation === 'owned-by');
  const held = [...new Set((owned.length > 0 ? owned : kept).map(({ from }) => nodeText(target, from)))];
  const what = object === null ? 'an object' : nodeText(target, object);
  const process = chain.holder === null ? null : (target.thread(chain.holder)?.owningProcess ?? null);
  const rest = chain.waiters.length > MAX_NAMED ? [`${chain.waiters.length - MAX_NAMED} more threads`] : [];
  return {
    ...blankFinding(
      'wait-chain',
      verdictOf(object?.object ?? null),
      weight.confidence,
      `${plural(chain.waiters.length, 'thread waits', 'threads wait')} for ${what}, ${chain.holder === null && chain.end.kind === 'device' ? `which ${holder} has not completed` : `whose ${relationWord(chain, object)} ${short(end)}`}`,
      [
        `${capital(holder)} ${end.text}${held.length > 0 ? `; ${owned.length > 0 ? `it holds ${list(held.slice(0, 4))}` : `${list(held.slice(0, 4))} ${held.length === 1 ? 'waits' : 'wait'} for it`}` : ''}.`,
        `${plural(chain.waiters.length, 'thread waits', 'threads wait')} for that, directly or through others: ${story(diagnosis, chain)}`,
        others.length > 0
          ? `${plural(others.length, 'other owner keeps', 'other owners keep')} it, too: ${others
              .slice(0, MAX_OTHERS)
              .map((other) => `${name(other)} ${other.end.text}`)
              .join('; ')}${others.length > MAX_OTHERS ? '; …' : ''}.`
          : '',
        hidden > 0 ? `${plural(hidden, 'other chain')} of no more weight ${hidden === 1 ? 'is' : 'are'} left out.` : '',
      ]
        .filter((part) => part !== '')
        .join(' '),
    ),
    processor: chain.end.kind === 'processor' ? chain.end.number : null,
    thread: json(chain.holder),
    process: json(process),
    image: process === null ? null : (target.process(process)?.image ?? null),
    lock:
      object === null
        ? null
        : { kind: object.object, address: json(object.address) ?? '', word: null, container: null },
    since:
      weight.seconds === null
        ? null
        : {
            minSeconds: weight.seconds,
            maxSeconds: null,
            reason: `the longest wait of the chain, or of its end, lasts ${clock(weight.seconds)}; what a thread holds it took before it began to wait`,
          },
    blame,
    evidence: evidence.items,
    assumptions: [...weight.assumptions],
    wouldChange: [
      `${capital(holder)} having run since, in a second dump`,
      ...(end.kind === 'waiting' ? ['who is to signal what it waits for'] : []),
      ...diagnosis
        .fact(waitGraph)
        .limits.slice(0, 3)
        .map(({ what: missing, why }) => `${missing}: ${why}`),
    ],
    downstream: [...chain.waiters.slice(0, MAX_NAMED).map((thread) => `thread ${argument(target, thread)}`), ...rest],
    picture: graphPicture(
      target,
      [...chain.path, ...chain.edges.filter((edge) => !chain.path.includes(edge))].slice(0, MAX_EDGES),
    ),
  };
}

function blameOf(
  diagnosis: Diagnosis,
  chain: WaitChain,
  evidence: ReturnType<Diagnosis['evidence']>,
): Finding['blame'] {
  const { target } = diagnosis;
  const device = deviceBlame(diagnosis, chain);
  if (chain.holder === null) return device;
  const { frames, outside, missing } = threadFrames(diagnosis, chain.holder);
  const show = `!thread ${argument(target, chain.holder)}`;
  if (missing !== null)
    evidence.fact(`stack of thread ${argument(target, chain.holder)}: ${missing}`, 'undetermined', show, 'stack');
  const shown = frames.slice(0, 8).map((frame) => target.nameOf(frame.pc).text);
  if (shown.length > 0)
    evidence.fact(`thread ${argument(target, chain.holder)} is in ${shown.join(' <- ')}`, 'true', show, 'stack walk');
  const gone = blameUnloaded(diagnosis, chain.holder, evidence);
  if (outside === null) return [...device, ...gone];
  return [
    ...device,
    ...gone,
    {
      module: target.moduleAt(outside.pc)?.name ?? '?',
      function: target.nameOf(outside.pc).text,
      role: 'holder',
      reason: 'first frame outside the kernel of the thread at the end of the chain',
    },
  ];
}

/** The driver that has the request at the end. */
function deviceBlame({ target }: Diagnosis, { end }: WaitChain): Finding['blame'] {
  if (end.kind !== 'device') return [];
  const driver = driverOfDevice(target, end.address);
  const module = driver?.start == null ? undefined : target.moduleAt(driver.start);
  if (module === undefined) return [];
  const reason = `driver of device ${argument(target, end.address)}, which has the request at the end of the chain`;
  return [{ module: module.name, function: null, role: 'holder', reason }];
}

function relationWord(chain: WaitChain, object: GraphNode | null): string {
  if (chain.holder === null && chain.end.kind === 'processor') return 'processor';
  const edge = chain.holds.find(({ from }) => from === object);
  return edge?.relation === 'owned-by' ? 'owner' : edge?.relation === 'answered-by' ? 'server' : 'thread';
}

const shorts: Readonly<Record<EndState['kind'], string>> = {
  running: 'runs',
  spinning: 'spins',
  ready: 'does not get a processor',
  suspended: 'is suspended',
  sleeping: 'sleeps',
  waiting: 'waits itself',
  terminating: 'is being terminated and does not end',
  gone: 'has ended',
  device: 'waits for a device',
  unserved: 'has not taken it',
  woken: 'is about to run',
  unknown: 'could not be told',
};

function short(end: EndState): string {
  return `${shorts[end.kind]}${end.seconds === null || end.kind === 'gone' ? '' : `, for ${clock(end.seconds)}`}`;
}

/** The longest way, from the farthest waiter to the end. */
function story({ target }: Diagnosis, chain: WaitChain): string {
  const parts: string[] = [];
  for (const edge of chain.path) {
    if (edge.from.kind === 'thread' || edge.from.kind === 'processor')
      parts.push(`${name(edge)} ${edgeText(target, edge)}`);
    else parts[parts.length - 1] = `${parts.at(-1) ?? ''}, which ${edgeText(target, edge)}`;
  }
  const shown = parts.length > 12 ? [...parts.slice(0, 6), `… ${parts.length - 12} more …`, ...parts.slice(-6)] : parts;
  return `${shown.join('; ')}.`;

  function name(edge: GraphEdge): string {
    return nodeText(target, edge.from);
  }
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** Rings of LIST_ENTRYs whose links do not fit each other: modules, processes, threads of each process, resources. */
import { checkLinks, type LinkFault, type Target } from '@dumpscope/debugger';
import { address, argument } from '../../engine/words.ts';
import type { Contradiction } from './contradiction.ts';

/** More than any of these lists has; a longer one is damaged, and then its links say so too. */
const LIMITS = { modules: 4096, processes: 0x10000, threads: 0x40000, resources: 0x100000 } as const;
/** Lists of threads whose faults are told; one bad page gives many. */
const MAX_LISTS = 8;

export function listContradictions(target: Target): Contradiction[] {
  const { header, triage } = target.dump;
  // A triage dump keeps single entries of these lists, never their rings.
  if (triage !== null) return [];
  const out: Contradiction[] = [];
  const modules = header.psLoadedModuleList ?? target.kdbg?.pointer('PsLoadedModuleList') ?? null;
  if (modules !== null)
    out.push(...told(target, 'PsLoadedModuleList', checkLinks(target, modules, LIMITS.modules).faults, {}));
  const processes = header.psActiveProcessHead ?? target.kdbg?.pointer('PsActiveProcessHead') ?? null;
  const processLink = offsetOf(target, '_EPROCESS', 'ActiveProcessLinks');
  if (processes !== null && processLink !== null)
    out.push(
      ...told(
        target,
        'PsActiveProcessHead',
        checkLinks(target, processes, LIMITS.processes, (entry) => isObject(target, entry - processLink, PROCESS))
          .faults,
        { processLink },
      ),
    );
  out.push(...threadLists(target));
  const resources = target.kdbg?.pointer('ExpSystemResourcesList') ?? null;
  if (resources !== null)
    out.push(...told(target, 'ExpSystemResourcesList', checkLinks(target, resources, LIMITS.resources).faults, {}));
  return out;
}

function threadLists(target: Target): Contradiction[] {
  const threadLink = offsetOf(target, '_ETHREAD', 'ThreadListEntry');
  if (threadLink === null) return [];
  const out: Contradiction[] = [];
  for (const process of target.processes()) {
    const head = process.fieldAddress('ThreadListHead');
    if (head === null) continue;
    const { faults } = checkLinks(target, head, LIMITS.threads, (entry) =>
      isObject(target, entry - threadLink, THREAD),
    );
    out.push(
      ...told(target, `the threads of process ${address(target, process.address)}`, faults, {
        threadLink,
        process: process.address,
      }),
    );
    if (out.length >= MAX_LISTS) break;
  }
  return out;
}

interface Members {
  readonly processLink?: bigint;
  readonly threadLink?: bigint;
  readonly process?: bigint;
}

const text: Readonly<Record<LinkFault['kind'], string>> = {
  'back-link': 'an entry does not link back to the one that leads to it',
  circle: 'the links run in a circle that does not lead back to the head',
  wild: 'a link leads out of kernel space',
  foreign: 'a link leads to something of another kind',
};

function told(target: Target, what: string, faults: readonly LinkFault[], members: Members): Contradiction[] {
  const [first] = faults;
  if (first === undefined) return [];
  // One link of two is what an insertion or removal looks like that was stopped half-way.
  const halfway = faults.length === 1 && first.kind === 'back-link';
  return [
    {
      kind: 'list',
      claim: `${what}: ${text[first.kind]}${faults.length > 1 ? ` (and ${faults.length - 1} more)` : ''}`,
      certain: !halfway,
      // The offsets of these links are among those that a layout is checked by.
      byLayout: false,
      places: faults.slice(0, 3).map((fault) => ({
        claim: `${what}: [${address(target, fault.slot)}] is ${address(target, fault.value)}${fault.expected === null ? '' : `, where ${address(target, fault.expected)} leads to it`}: ${text[fault.kind]}`,
        address: fault.slot,
        length: target.pointerSize,
        command: `dps ${argument(target, fault.slot)} l1`,
      })),
      about: {
        threads: members.threadLink === undefined ? [] : faults.map(({ entry }) => entry - (members.threadLink ?? 0n)),
        processes: [
          ...(members.process === undefined ? [] : [members.process]),
          ...(members.processLink === undefined ? [] : faults.map(({ entry }) => entry - (members.processLink ?? 0n))),
        ],
      },
    },
  ];
}

/** DISPATCHER_HEADER.Type. */
const PROCESS = 3;
const THREAD = 6;

function isObject(target: Target, object: bigint, type: number): boolean | null {
  const found = target.memory.u8(object);
  return found === undefined ? null : (found & 0x7f) === type;
}

function offsetOf(target: Target, struct: string, field: string): bigint | null {
  const offset = target.layouts.table.struct(struct)?.fields.get(field)?.offset;
  return offset === undefined ? null : BigInt(offset);
}

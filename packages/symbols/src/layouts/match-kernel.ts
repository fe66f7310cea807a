import type { Arch } from '@dumpscope/core';
import type { IsfFile } from '../isf/isf.ts';
import type { TypeTable } from '../type-table.ts';
import { type BuiltinLayoutInfo, builtinLayouts, loadBuiltin } from './builtin.ts';
import { offsetOrSize } from './field-path.ts';
import { kdbgOffsets, kdbgPointers } from './kdbg.ts';

/** What a dump says about its kernel. */
export interface KernelFingerprint {
  readonly arch: Arch;
  /** NT build number. */
  readonly build: number;
  /** Pointers of KDDEBUGGER_DATA64 minus the kernel's base, by the names of `kdbgPointers`; without those that are 0. */
  readonly kdbg?: ReadonlyMap<string, number>;
  /** Offsets and sizes of KDDEBUGGER_DATA64, by the names of `kdbgOffsets`. */
  readonly offsets?: ReadonlyMap<string, number>;
  /** The RSDS record of the kernel image; GUID in any spelling. */
  readonly rsds?: { readonly guid: string; readonly age: number } | null;
  /** x86: whether the dump's kernel uses PAE; null when unknown. */
  readonly pae?: boolean | null;
}

export interface KdbgPointerComparison {
  readonly equal: readonly string[];
  readonly different: readonly string[];
}

export interface KernelCandidate {
  readonly info: BuiltinLayoutInfo;
  /** `approximate`: to be used only after checks against the dump, and everything read through it is marked. */
  readonly trust: 'exact' | 'approximate';
  /** One clause for reports. */
  readonly reason: string;
  readonly pointers: KdbgPointerComparison;
  /** Comparison of the block's offsets with the table's; null when the dump gave none or the table was too far to load. */
  readonly offsets: KdbgOffsetComparison | null;
  /** 0 for the same branch of Windows (19041 and 19045); larger is farther. */
  readonly distance: number;
}

/** An exact match needs at least this many pointers that agree. */
export const MINIMUM_POINTERS = 8;

/** The pointers that the table has a symbol for. MmPfnDatabase is left out: in some dumps it is the database itself. */
export function compareKdbgPointers(
  symbolRva: (name: string) => number | undefined,
  pointers: ReadonlyMap<string, number>,
): KdbgPointerComparison {
  const equal: string[] = [];
  const different: string[] = [];
  for (const { name, symbols } of kdbgPointers) {
    const value = pointers.get(name);
    if (value === undefined || name === 'MmPfnDatabase') continue;
    const known = symbols.map(symbolRva).filter((at) => at !== undefined);
    if (known.length === 0) continue;
    (known.includes(value) ? equal : different).push(name);
  }
  return { equal, different };
}

export interface KdbgOffsetComparison {
  readonly agree: readonly string[];
  readonly disagree: readonly {
    readonly name: string;
    readonly path: string;
    readonly dump: number;
    readonly table: number;
  }[];
  /** Fields that the table cannot answer. */
  readonly unknown: readonly string[];
}

/** The block's offsets against a type table: the strongest test of a table that is not known to be exact. */
export function compareKdbgOffsets(table: TypeTable, offsets: ReadonlyMap<string, number>): KdbgOffsetComparison {
  const agree: string[] = [];
  const disagree: { name: string; path: string; dump: number; table: number }[] = [];
  const unknown: string[] = [];
  for (const { name, paths } of kdbgOffsets) {
    const dump = offsets.get(name);
    if (dump === undefined) continue;
    let path = '';
    let found: number | undefined;
    for (path of paths) if ((found = offsetOrSize(table, path)) !== undefined) break;
    // 0 is "no such member" for all but what lies at the very start of a structure.
    if (found === undefined || (dump === 0 && found !== 0)) unknown.push(name);
    else if (found === dump) agree.push(name);
    else disagree.push({ name, path, dump, table: found });
  }
  return { agree, disagree, unknown };
}

// Builds of one branch share their layouts (enablement packages); what lies between two branches counts as between.
const branches = [
  [2195, 2195],
  [2600, 2600],
  [3790, 3790],
  [6000, 6003],
  [7600, 7601],
  [9200, 9200],
  [9600, 9600],
  [10240, 10240],
  [10586, 10586],
  [14393, 14393],
  [15063, 15063],
  [16299, 16299],
  [17134, 17134],
  [17763, 17763],
  [18362, 18363],
  [19041, 19045],
  [20348, 20348],
  [22000, 22000],
  [22621, 22631],
  [25398, 25398],
  [26100, 26200],
] as const;

function branchPosition(build: number): number {
  for (let i = 0; i < branches.length; i++) {
    const [first, last] = branches[i] ?? [0, 0];
    if (build < first) return i - 0.5;
    if (build <= last) return i;
  }
  return branches.length - 0.5;
}

const normalGuid = (guid: string): string => guid.replace(/[-{}]/g, '').toUpperCase();

/**
 * Built-in tables for a kernel, best first. RSDS equal, or every KDBG pointer equal (but MmPfnDatabase, and at least
 * {@link MINIMUM_POINTERS}): exact. Otherwise every table of the architecture, the likeliest first: whose offsets
 * disagree least with the block's, then by branch of Windows, then by pointers that happen to agree.
 */
export function matchKernel(fingerprint: KernelFingerprint): KernelCandidate[] {
  const { arch, build, kdbg, offsets, rsds, pae } = fingerprint;
  const position = branchPosition(build);
  const guid = rsds ? normalGuid(rsds.guid) : null;
  const candidates: KernelCandidate[] = [];
  for (const info of builtinLayouts) {
    if (info.arch !== arch) continue;
    const distance = Math.abs(branchPosition(info.build) - position);
    const pointers = kdbg ? compareKdbgPointers((name) => info.symbolRva(name), kdbg) : { equal: [], different: [] };
    const compared = pointers.equal.length + pointers.different.length;
    const base = { info, pointers, offsets: null, distance };
    if (guid !== null && info.guid === guid && rsds?.age === info.age) {
      candidates.push({
        ...base,
        trust: 'exact',
        reason: `the RSDS record of the kernel is that of ${info.pdb} ${guid}`,
      });
    } else if (
      pointers.equal.length >= MINIMUM_POINTERS &&
      pointers.different.length === 0 &&
      (guid === null || info.guid === null)
    ) {
      candidates.push({
        ...base,
        trust: 'exact',
        reason: `all ${compared} compared KDBG pointers equal the symbols of ${info.pdb} ${info.guid ?? info.version}`,
      });
    } else {
      const reason =
        distance === 0
          ? `layouts of ${info.version}, the same branch of Windows as build ${build}`
          : `layouts of ${info.version}, a neighbour of build ${build}`;
      const detail = compared > 0 ? ` (${pointers.equal.length} of ${compared} KDBG pointers equal)` : '';
      candidates.push({ ...base, trust: 'approximate', reason: reason + detail });
    }
  }
  const paeRank = (c: KernelCandidate): number => (pae == null || c.info.pae === null || c.info.pae === pae ? 0 : 1);
  const order = (a: KernelCandidate, b: KernelCandidate): number =>
    Number(b.trust === 'exact') - Number(a.trust === 'exact') ||
    (a.offsets?.disagree.length ?? 0) - (b.offsets?.disagree.length ?? 0) ||
    a.distance - b.distance ||
    paeRank(a) - paeRank(b) ||
    b.pointers.equal.length - a.pointers.equal.length ||
    (a.info.id < b.info.id ? 1 : -1);
  candidates.sort(order);
  if (!offsets || candidates[0]?.trust === 'exact') return candidates;
  // Loading a family costs milliseconds: only the nearest ones are compared, and rank before the others.
  const near = candidates.slice(0, 8).map((candidate) => {
    const table = loadBuiltin(candidate.info.id)?.table;
    return table ? { ...candidate, offsets: compareKdbgOffsets(table, offsets) } : candidate;
  });
  return [...near.sort(order), ...candidates.slice(8)];
}

export interface IsfMatch {
  /** `none`: a table of another architecture. */
  readonly trust: 'exact' | 'approximate' | 'none';
  readonly reason: string;
  readonly pointers: KdbgPointerComparison;
  readonly offsets: KdbgOffsetComparison | null;
}

const machines: Readonly<Record<Arch, number>> = { x86: 0x14c, x64: 0x8664, arm64: 0xaa64 };

/** The same tests for an ISF file that somebody has: a candidate beside those of {@link matchKernel}. */
export function matchIsf(isf: IsfFile, fingerprint: KernelFingerprint): IsfMatch {
  const { arch, kdbg, offsets, rsds } = fingerprint;
  const none = { equal: [], different: [] };
  const machine =
    isf.machine ?? (isf.types.pointerSize === 4 ? machines.x86 : arch === 'x86' ? machines.x64 : machines[arch]);
  if (machine !== machines[arch]) {
    return { trust: 'none', reason: 'an ISF file of another architecture', pointers: none, offsets: null };
  }
  const exactName = (name: string): number | undefined => {
    const symbol = isf.symbols.byName(name);
    return symbol?.display === name || symbol?.name === name ? symbol.rva : undefined;
  };
  const pointers = kdbg ? compareKdbgPointers(exactName, kdbg) : none;
  const compared = offsets ? compareKdbgOffsets(isf.types, offsets) : null;
  const guid = rsds ? normalGuid(rsds.guid) : null;
  if (guid !== null && isf.pdb?.guid === guid && isf.pdb.age === rsds?.age) {
    return {
      trust: 'exact',
      reason: `the RSDS record of the kernel is that of ${isf.types.origin}`,
      pointers,
      offsets: compared,
    };
  }
  const total = pointers.equal.length + pointers.different.length;
  if (
    pointers.equal.length >= MINIMUM_POINTERS &&
    pointers.different.length === 0 &&
    (guid === null || isf.pdb === null)
  ) {
    const reason = `all ${total} compared KDBG pointers equal the symbols of ${isf.types.origin}`;
    return { trust: 'exact', reason, pointers, offsets: compared };
  }
  const detail = total > 0 ? `${pointers.equal.length} of ${total} KDBG pointers equal` : 'no KDBG pointer compared';
  return { trust: 'approximate', reason: `layouts of ${isf.types.origin} (${detail})`, pointers, offsets: compared };
}

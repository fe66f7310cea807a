import type { Dump, Memory, Va } from '@dumpscope/core';
import {
  compareKdbgOffsets,
  compareKdbgPointers,
  type KdbgOffsetComparison,
  loadBuiltin,
  MINIMUM_POINTERS,
  matchKernel,
  type SymbolTable,
  type TypeTable,
} from '@dumpscope/symbols';
import { kdbgOffsetValues, kdbgPointerRvas } from '../nt/kdbg.ts';
import { plainGuid, type SymbolAnswers, type SymbolTableAnswer } from './answers.ts';
import { FieldFinder } from './fields.ts';
import { checkLayout, type LayoutCheck } from './layout-checks.ts';
import { emptyTable, RestrictedTable } from './layout-table.ts';
import type { Kdbg, Layouts } from './model.ts';
import type { LoadedModule } from './module.ts';

export interface ChosenLayouts extends Layouts {
  readonly fields: FieldFinder;
  /** Names of exactly this kernel, where the table has them. */
  readonly symbols: SymbolTable | null;
  readonly pdb: { readonly name: string; readonly guid: string; readonly age: number } | null;
}

export interface LayoutInput {
  readonly dump: Dump;
  readonly memory: Memory;
  readonly kdbg: Kdbg | null;
  readonly kernel: LoadedModule | null;
  readonly answers: SymbolAnswers;
  readonly prcbs: readonly (Va | null)[];
  /** Forced by the caller (`.reload /i`, tests); null to choose. */
  readonly override: TypeTable | null;
}

/** Candidates whose checks are tried: each loads a table. */
const MAX_CANDIDATES = 12;

function paeOf(dump: Dump): boolean | null {
  if (dump.arch !== 'x86') return null;
  const mode = dump.paging?.mode;
  if (mode === 'x86' || mode === 'x86-pae') return mode === 'x86-pae';
  return dump.header.paeEnabled;
}

/**
 * Offsets of a structure that the dump's KDBG confirms: members beyond the last confirmed one before the first
 * contradicted one are hidden. A contradiction in a structure's first members condemns the table.
 */
function limitsOf(comparison: KdbgOffsetComparison, table: TypeTable): Map<string, number> | null {
  const limits = new Map<string, number>();
  const paths = new Map<string, { offset: number; agree: boolean }[]>();
  const note = (path: string, offset: number, agree: boolean): void => {
    const dot = path.indexOf('.');
    if (dot < 0) return; // sizes alone: the tail grew
    const struct = path.slice(0, dot);
    const list = paths.get(struct) ?? [];
    list.push({ offset, agree });
    paths.set(struct, list);
  };
  for (const item of comparison.disagree) note(item.path, Math.min(item.dump, item.table), false);
  if (paths.size === 0) {
    // Only sizes differ: nothing is hidden but what lies beyond the real end.
    for (const item of comparison.disagree)
      if (!item.path.includes('.')) limits.set(item.path, Math.min(item.dump, item.table) - 1);
    return limits;
  }
  for (const [struct, list] of paths) {
    const first = Math.min(...list.map((entry) => entry.offset));
    // What agrees below the first contradiction.
    const agreed = agreedOffsets(comparison, table, struct).filter((offset) => offset < first);
    if (agreed.length === 0) return null;
    limits.set(struct, Math.max(...agreed));
  }
  for (const item of comparison.disagree)
    if (!item.path.includes('.') && !limits.has(item.path)) {
      const agreed = agreedOffsets(comparison, table, item.path);
      limits.set(item.path, agreed.length === 0 ? 0 : Math.max(...agreed));
    }
  return limits;
}

function agreedOffsets(comparison: KdbgOffsetComparison, table: TypeTable, struct: string): number[] {
  const finder = new FieldFinder(table, null);
  const out: number[] = [];
  for (const name of comparison.agree) {
    const path = agreePaths[name];
    if (path === undefined || !path.startsWith(`${struct}.`)) continue;
    const place = finder.find(struct, path.slice(struct.length + 1));
    if (place !== null) out.push(place.offset);
  }
  return out;
}

/** Member behind each KDBG offset of the structures that are read most. */
const agreePaths: Readonly<Record<string, string>> = {
  OffsetKThreadNextProcessor: '_KTHREAD.NextProcessor',
  OffsetKThreadTeb: '_KTHREAD.Teb',
  OffsetKThreadKernelStack: '_KTHREAD.KernelStack',
  OffsetKThreadInitialStack: '_KTHREAD.InitialStack',
  OffsetKThreadApcProcess: '_KTHREAD.ApcState.Process',
  OffsetKThreadState: '_KTHREAD.State',
  OffsetKThreadQueueListEntry: '_KTHREAD.QueueListEntry',
  OffsetKThreadWaitReason: '_KTHREAD.WaitReason',
  OffsetEThreadIrpList: '_ETHREAD.IrpList',
  OffsetEprocessPeb: '_EPROCESS.Peb',
  OffsetEprocessParentCID: '_EPROCESS.InheritedFromUniqueProcessId',
  OffsetPrcbCurrentThread: '_KPRCB.CurrentThread',
  OffsetPrcbMhz: '_KPRCB.MHz',
  OffsetPrcbNumber: '_KPRCB.Number',
  OffsetPrcbProcStateContext: '_KPRCB.ProcessorState.ContextFrame',
  OffsetPrcbDpcStack: '_KPRCB.DpcStack',
  OffsetPrcbNormalDpcState: '_KPRCB.NormalDpcState',
  OffsetPrcbDpcRoutine: '_KPRCB.DpcRoutineActive',
  OffsetPrcbVendorString: '_KPRCB.VendorString',
  OffsetPrcbContext: '_KPRCB.Context',
  OffsetPrcbIsrStack: '_KPRCB.IsrStack',
};

function summary(checks: readonly LayoutCheck[]): { pass: number; fail: string[] } {
  let pass = 0;
  const fail: string[] = [];
  for (const check of checks) {
    if (check.outcome === true) pass++;
    else if (check.outcome === false) fail.push(check.what);
  }
  return { pass, fail };
}

function tableFits(answer: SymbolTableAnswer, pointers: ReadonlyMap<string, number>): boolean {
  const compared = compareKdbgPointers((name) => answer.symbols.byName(name)?.rva, pointers);
  return compared.different.length === 0 && compared.equal.length >= MINIMUM_POINTERS;
}

/** Exports compared with the table's names. */
const EXPORT_SAMPLE = 32;

/** Whether the kernel's own export table puts functions elsewhere than a table that claims to be exact. */
function exportsDiffer(kernel: LoadedModule | null, symbols: SymbolTable): boolean {
  let same = 0;
  let other = 0;
  for (const symbol of kernel?.exports?.all() ?? []) {
    const known = symbols.byName(symbol.name);
    if (known === undefined) continue;
    if (known.rva === symbol.rva) same++;
    else other++;
    if (same + other >= EXPORT_SAMPLE) break;
  }
  return other > same;
}

/** Chooses the layouts: PDB, ISF by GUID, ISF by fingerprint, built-in exact, checked neighbour, none. */
export function chooseLayouts(input: LayoutInput): ChosenLayouts {
  const { dump, kdbg, kernel, answers } = input;
  const made = (
    table: TypeTable,
    trust: Layouts['trust'],
    how: string,
    extra: { symbols?: SymbolTable; pdb?: ChosenLayouts['pdb'] } = {},
  ): ChosenLayouts => ({
    table,
    trust,
    how,
    fields: new FieldFinder(table, kdbg),
    symbols: extra.symbols ?? null,
    pdb: extra.pdb ?? null,
  });
  if (input.override !== null) return made(input.override, 'approximate', `${input.override.origin}, as asked for`);

  const rsds = kernel?.recordedPdb ?? null;
  const pointers = kdbg === null ? new Map<string, number>() : kdbgPointerRvas(kdbg);
  const offsets = kdbg === null ? new Map<string, number>() : kdbgOffsetValues(kdbg);

  const types = kernel?.pdbTypes ?? null;
  if (types !== null && types.struct('_KTHREAD') !== undefined)
    return made(types, 'exact', `${types.origin}: the kernel's own PDB`, { pdb: rsds });

  for (const table of answers.tables ?? []) {
    if (table.types.pointerSize !== dump.pointerSize) continue;
    const byRecord = rsds !== null && table.pdb !== null && plainGuid(table.pdb.guid) === plainGuid(rsds.guid);
    if (byRecord || (rsds === null && tableFits(table, pointers)))
      return made(
        table.types,
        'exact',
        `${table.types.origin}: ${byRecord ? 'the RSDS record of the kernel names it' : 'every compared KDBG pointer equals its symbol'}`,
        { symbols: table.symbols, pdb: table.pdb },
      );
  }

  const fingerprint = {
    arch: dump.arch,
    build: dump.header.minorVersion,
    kdbg: pointers,
    rsds,
    pae: paeOf(dump),
  };
  // Comparing offsets loads a table, some 10 ms each: those of the same branch of Windows come first, all others only
  // where none of them fits.
  const candidates = [
    ...matchKernel(fingerprint).filter((candidate) => candidate.trust === 'exact' || candidate.distance === 0),
    null,
  ];
  const refused: string[] = [];
  const tried = new Set<string>();
  for (let i = 0; i < Math.min(candidates.length, MAX_CANDIDATES); i++) {
    const candidate = candidates[i];
    if (candidate === undefined) break;
    if (candidate === null) {
      candidates.push(...matchKernel({ ...fingerprint, offsets }).filter((other) => !tried.has(other.info.id)));
      continue;
    }
    tried.add(candidate.info.id);
    const builtin = loadBuiltin(candidate.info.id);
    if (builtin === undefined) continue;
    const { info } = builtin;
    const contradicted = candidate.trust === 'exact' && exportsDiffer(kernel, builtin.symbols);
    if (candidate.trust === 'exact' && !contradicted)
      return made(builtin.table, 'exact', `${builtin.table.origin}: ${candidate.reason}`, {
        symbols: builtin.symbols,
        pdb: info.guid === null || info.age === null ? null : { name: info.pdb, guid: info.guid, age: info.age },
      });
    const comparison = offsets.size === 0 ? null : (candidate.offsets ?? compareKdbgOffsets(builtin.table, offsets));
    let table: TypeTable = builtin.table;
    let note = contradicted ? '; but the exports of the kernel lie elsewhere: its names are not used' : '';
    if (comparison !== null && comparison.disagree.length > 0) {
      const limits = limitsOf(comparison, builtin.table);
      if (limits === null || comparison.disagree.length * 2 > comparison.agree.length) {
        refused.push(`${info.id} (${comparison.disagree.length} KDBG offsets differ)`);
        continue;
      }
      table = new RestrictedTable(builtin.table, limits);
      note += `, ${comparison.disagree.map((item) => item.name).join(', ')} differ: members of ${[...limits].map(([name, at]) => `${name} beyond +0x${at.toString(16)}`).join(' and ')} are not used`;
    }
    const checks = checkLayout({
      memory: input.memory,
      fields: new FieldFinder(table, kdbg),
      prcbs: input.prcbs,
      processHead: dump.header.psActiveProcessHead ?? kdbg?.pointer('PsActiveProcessHead') ?? null,
    });
    const { pass, fail } = summary(checks);
    if (fail.length > 0 && fail.length * 4 > pass) {
      refused.push(`${info.id} (${fail[0]} does not fit)`);
      continue;
    }
    const agree = comparison?.agree.length ?? 0;
    // A neighbour that nothing in the dump confirms is taken only from the same branch of Windows.
    if (pass === 0 && agree < 8 && candidate.distance > 0) {
      refused.push(`${info.id} (nothing in the dump confirms it)`);
      continue;
    }
    return made(
      table,
      'approximate',
      `${builtin.table.origin}: ${candidate.reason}; ${agree} KDBG offsets and ${pass} checks against the dump agree${note}`,
    );
  }
  return made(
    emptyTable(dump.pointerSize),
    'none',
    refused.length > 0
      ? `no table fits: ${refused.join('; ')}`
      : `no table for ${dump.arch} build ${dump.header.minorVersion}: offsets of the KDBG block only`,
  );
}

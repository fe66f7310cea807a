import type { Arch, DumpKind } from '@dumpscope/core';
import type { PhysicalLayout, Run } from '../memory/frames.ts';

/** DumpType at F88 (32-bit) or F98 (64-bit). */
export const DUMP_TYPE: Readonly<Record<DumpKind, number>> = {
  full: 1,
  'kernel-summary': 2,
  'header-only': 3,
  triage: 4,
  'bitmap-full': 5,
  'bitmap-kernel': 6,
  automatic: 7,
  'range-kernel': 8,
  'range-kernel-user': 9,
  'range-full': 0xa,
};

export interface HeaderException {
  readonly code: number;
  readonly flags: number;
  readonly address: bigint;
  readonly parameters: readonly bigint[];
}

/** What the header of every kind says. */
export interface HeaderInput {
  readonly arch: Arch;
  readonly kind: DumpKind;
  readonly majorVersion: number;
  readonly build: number;
  readonly directoryTableBase: bigint;
  readonly pfnDatabase: bigint;
  readonly psLoadedModuleList: bigint;
  readonly psActiveProcessHead: bigint;
  readonly machine: number;
  readonly processors: number;
  readonly bugCheckCode: number;
  readonly bugCheckParameters: readonly bigint[];
  readonly versionUser: string | null;
  readonly paeEnabled: boolean;
  readonly kdDebuggerDataBlock: bigint;
  readonly context: Uint8Array | null;
  readonly exception: HeaderException | null;
  readonly comment: string | null;
  readonly systemUpTime: bigint;
  readonly systemTime: bigint;
  readonly productType: number;
  readonly suiteMask: number;
  readonly attributes: number | null;
  readonly miniDumpFields: number | null;
  readonly secondaryDataState: number | null;
  readonly requiredDumpSpace: number | null;
  readonly unwritten: ReadonlySet<string>;
}

export interface Blob {
  readonly tag: string;
  readonly bytes: Uint8Array;
}

export interface DumpInput {
  readonly header: HeaderInput;
  readonly physical: PhysicalLayout;
  readonly blobs: readonly Blob[];
}

/** Frames in ascending order that a kind of dump stores. */
export function storedRuns(input: DumpInput): Run[] {
  const { physical } = input;
  const kind = input.header.kind;
  if (kind === 'full' || kind === 'bitmap-full' || kind === 'range-full') {
    return physical.runs.filter((run) => run.base !== physical.missing?.base);
  }
  const users = kind === 'range-kernel-user';
  const frames = [...physical.pages].filter(([, page]) => users || page.owner !== 'user').map(([pfn]) => pfn);
  frames.sort((a, b) => a - b);
  const runs: { base: number; count: number }[] = [];
  for (const pfn of frames) {
    const last = runs.at(-1);
    if (last !== undefined && last.base + last.count === pfn) last.count += 1;
    else runs.push({ base: pfn, count: 1 });
  }
  if (physical.sparse !== undefined) {
    runs.push({ ...physical.sparse });
    runs.sort((a, b) => a.base - b.base);
  }
  return runs;
}

export function pagesIn(runs: readonly Run[]): number {
  return runs.reduce((sum, run) => sum + run.count, 0);
}

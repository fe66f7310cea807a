import { hex } from '@dumpscope/core';
import type { TypeRef } from '../type-table.ts';
import { undecorateSymbol } from '../undecorate.ts';
import { PdbError } from './errors.ts';
import type { FrameDataRecord } from './frame-data.ts';
import type { PdbFile } from './pdb-file.ts';
import { isAnonymousName, type PdbTypes } from './pdb-types.ts';

/** Rows of `dumpscope pdb`; RVAs are of the image (after OMAP), -1 never appears: what has none is null. */
export interface PublicRow {
  readonly name: string;
  readonly display: string;
  readonly rva: number | null;
  readonly section: number;
  readonly offset: number;
  readonly isFunction: boolean | null;
}

export interface MemberRow {
  readonly name: string;
  readonly offset: number;
  readonly type: string;
  readonly bitPosition: number | null;
  readonly bitLength: number | null;
}

export interface TypeRow {
  readonly name: string;
  readonly kind: 'struct' | 'union' | 'class' | 'enum';
  readonly size: number;
  /** Type index in the PDB. */
  readonly index: number;
  readonly members: readonly MemberRow[];
  /** Base classes with their offsets. */
  readonly bases: readonly { readonly name: string; readonly offset: number }[];
  /** Of an enumeration: decimal strings, for JSON. */
  readonly values: readonly { readonly name: string; readonly value: string }[];
}

export interface FpoRow {
  readonly kind: 'fpo' | 'frame-data';
  readonly rva: number | null;
  readonly size: number;
  readonly locals: number;
  readonly params: number;
  readonly prolog: number;
  readonly savedRegs: number;
  readonly frameType: number | null;
  readonly hasSeh: boolean;
  readonly usesBasePointer: boolean;
  readonly isFunctionStart: boolean;
  /** FRAMEDATA.dwFlags; null for FPO. */
  readonly flags: number | null;
  readonly maxStack: number | null;
  readonly program: string;
}

export interface LineRow {
  /** Null for code that the linker dropped. */
  readonly rva: number | null;
  readonly section: number;
  readonly offset: number;
  readonly file: string;
  readonly line: number;
  readonly module: string;
}

export interface StreamRow {
  readonly index: number;
  readonly size: number;
  /** What the stream is for, as far as something refers to it. */
  readonly name: string;
}

export interface PdbRows {
  readonly streams: StreamRow[];
  readonly publics: PublicRow[];
  readonly types: TypeRow[];
  readonly fpo: FpoRow[];
  readonly lines: LineRow[];
}

export type PdbRowKind = keyof PdbRows;

/** Summary that heads every listing. */
export interface PdbSummary {
  readonly guid: string;
  readonly age: number;
  readonly infoAge: number;
  readonly signature: number;
  readonly machine: string;
  readonly format: string;
  readonly blockSize: number;
  readonly stripped: boolean;
  readonly fastLink: boolean;
  readonly typeVersion: number | null;
}

export function pdbSummary(pdb: PdbFile): PdbSummary {
  return {
    guid: pdb.guid,
    age: pdb.age,
    infoAge: pdb.info.age,
    signature: pdb.signature,
    machine: hex(pdb.machine),
    format: `MSF ${pdb.msf.format}`,
    blockSize: pdb.msf.blockSize,
    stripped: pdb.dbi?.isStripped ?? false,
    fastLink: pdb.info.isFastLink,
    typeVersion: pdb.typeRecords?.stream.version ?? null,
  };
}

/**
 * The rows of one listing. `name` restricts types to one. A part of the PDB that is damaged or missing yields no rows
 * and a problem of the PDB.
 */
export function pdbRows<K extends PdbRowKind>(pdb: PdbFile, kind: K, name?: string): PdbRows[K] {
  const read: { [kind in PdbRowKind]: () => PdbRows[kind] } = {
    streams: () => streamRows(pdb),
    publics: () => publicRows(pdb),
    types: () => typeRows(pdb, name),
    fpo: () => fpoRows(pdb),
    lines: () => lineRows(pdb),
  };
  return pdb.guard(kind, [] as unknown as PdbRows[K], read[kind]);
}

function publicRows(pdb: PdbFile): PublicRow[] {
  const out: PublicRow[] = [];
  for (const record of pdb.publicRecords?.records() ?? []) {
    out.push({
      name: record.name,
      display: undecorateSymbol(record.name, pdb.machine),
      rva: record.rva < 0 ? null : record.rva,
      section: record.section,
      offset: record.offset,
      isFunction: record.flags === 0 ? null : (record.flags & 3) !== 0,
    });
  }
  return out;
}

function typeRows(pdb: PdbFile, name?: string): TypeRow[] {
  const types = pdb.typeRecords;
  if (types === null) return [];
  if (name !== undefined) {
    const index = types.find(name);
    const row = index === undefined ? null : typeRow(types, index);
    return row === null ? [] : [row];
  }
  const out: TypeRow[] = [];
  // A field list belongs to one type: in a damaged file thousands may point at the longest one.
  const texts = new Map<number, string>();
  let budget = types.stream.recordBytes / 4 + 1024;
  for (let index = types.stream.first; index < types.stream.last; index++) {
    const row = typeRow(types, index, texts);
    if (row === null) continue;
    budget -= row.members.length + row.values.length;
    if (budget < 0) throw new PdbError(`${pdb.name}: PDB types refer to more members than there are`);
    out.push(row);
  }
  return out;
}

/** Null for an index that is no definition. */
function typeRow(types: PdbTypes, index: number, texts: Map<number, string> = new Map()): TypeRow | null {
  const record = types.stream.record(index);
  if ((record?.kind !== 'struct' && record?.kind !== 'enum') || record.isForward) return null;
  const textOf = (type: number): string => {
    let text = texts.get(type);
    if (text === undefined) {
      const ref = types.typeRef(type);
      text = typeText(ref.kind === 'bitfield' ? ref.of : ref);
      texts.set(type, text);
    }
    return text;
  };
  const members: MemberRow[] = [];
  const bases: { name: string; offset: number }[] = [];
  const values: { name: string; value: string }[] = [];
  for (const item of types.fields(record.fields)) {
    if (item.kind === 'member') {
      const type = types.typeRef(item.type);
      const bits = type.kind === 'bitfield' ? type : null;
      members.push({
        name: item.name,
        offset: item.offset,
        type: textOf(item.type),
        bitPosition: bits?.position ?? null,
        bitLength: bits?.length ?? null,
      });
    } else if (item.kind === 'base') bases.push({ name: textOf(item.type), offset: item.offset });
    else if (item.kind === 'vftable') {
      members.push({ name: '__VFN_table', offset: item.offset, type: 'void *', bitPosition: null, bitLength: null });
    } else if (item.kind === 'enumerate') values.push({ name: item.name, value: item.value.toString() });
  }
  const isEnum = record.kind === 'enum';
  return {
    name: isAnonymousName(record.name) ? `${record.name}_${index.toString(16)}` : record.name,
    kind: isEnum ? 'enum' : record.form,
    size: isEnum ? types.sizeOf(record.underlying) : record.size,
    index,
    members,
    bases,
    values,
  };
}

/** A type as C would declare it: `unsigned long`, `_LIST_ENTRY *`, `unsigned char[16]`. */
export function typeText(type: TypeRef): string {
  let suffix = '';
  for (let at = type; ; ) {
    switch (at.kind) {
      case 'pointer':
        suffix = at.to.kind === 'pointer' ? `*${suffix}` : ` *${suffix}`;
        at = at.to;
        continue;
      case 'array':
        suffix =
          suffix.startsWith('[') || suffix === '' ? `[${at.count}]${suffix}` : ` (${suffix.trim()})[${at.count}]`;
        at = at.of;
        continue;
      case 'bitfield':
        suffix = `:${at.length}${suffix}`;
        at = at.of;
        continue;
      case 'function':
        return `function${suffix}`;
      default:
        return `${at.name}${suffix}`;
    }
  }
}

function fpoRows(pdb: PdbFile): FpoRow[] {
  const frames = pdb.frames;
  const out: FpoRow[] = [];
  for (let i = 0; i < (frames?.length ?? 0); i++) {
    const record = frames?.record(i);
    if (record === undefined) continue;
    const rva = pdb.addresses?.fromSource(record.rva) ?? -1;
    const data = record.kind === 'frame-data' ? (record as FrameDataRecord) : null;
    out.push({
      kind: record.kind,
      rva: rva < 0 ? null : rva,
      size: record.codeSize,
      locals: record.localsSize,
      params: record.paramsSize,
      prolog: record.prologSize,
      savedRegs: record.savedRegsSize,
      frameType: record.frameType,
      hasSeh: record.hasSeh,
      usesBasePointer: record.usesBasePointer,
      isFunctionStart: record.isFunctionStart,
      flags: data?.flags ?? null,
      maxStack: data?.maxStackSize ?? null,
      program: record.program,
    });
  }
  return out;
}

function lineRows(pdb: PdbFile): LineRow[] {
  const out: LineRow[] = [];
  for (const module of pdb.procedures?.modules ?? []) {
    const lines = pdb.lines(module.index);
    if (lines === null) continue;
    for (const entry of lines.entries()) {
      const rva = entry.rva < 0 ? -1 : (pdb.addresses?.fromSource(entry.rva) ?? -1);
      const { section, offset, file, line } = entry;
      out.push({ rva: rva < 0 ? null : rva, section, offset, file, line, module: module.name });
    }
  }
  return out;
}

function streamRows(pdb: PdbFile): StreamRow[] {
  const names = new Map<number, string>([
    [0, 'old directory'],
    [1, 'PDB info'],
    [2, 'TPI'],
    [3, 'DBI'],
  ]);
  if (pdb.info.hasIds) names.set(4, 'IPI');
  const { dbi } = pdb;
  if (dbi !== null) {
    names.set(dbi.globalsStream, 'globals');
    names.set(dbi.publicsStream, 'publics');
    names.set(dbi.symbolsStream, 'symbol records');
    for (const slot of DEBUG_SLOT_NAMES) names.set(dbi.debugStream(slot[0]), slot[1]);
    for (const module of dbi.modules) if (module.stream >= 0) names.set(module.stream, `module ${module.name}`);
  }
  for (const [name, stream] of pdb.info.namedStreams) names.set(stream, name);
  const hashes: [number | undefined, string][] = [
    [pdb.typeRecords?.stream.hashStream, 'TPI hash'],
    [pdb.items?.hashStream, 'IPI hash'],
  ];
  for (const [stream, name] of hashes) if (stream !== undefined) names.set(stream, name);
  const out: StreamRow[] = [];
  for (let index = 0; index < pdb.msf.streamCount; index++) {
    out.push({ index, size: pdb.msf.streamSize(index), name: names.get(index) ?? '' });
  }
  return out;
}

const DEBUG_SLOT_NAMES = [
  ['fpo', 'FPO'],
  ['exception', 'exception data'],
  ['fixup', 'fixups'],
  ['omapToSource', 'OMAP to source'],
  ['omapFromSource', 'OMAP from source'],
  ['sectionHeaders', 'section headers'],
  ['tokenRidMap', 'token map'],
  ['xdata', 'xdata'],
  ['pdata', 'pdata'],
  ['newFpo', 'frame data'],
  ['originalSectionHeaders', 'original section headers'],
] as const;

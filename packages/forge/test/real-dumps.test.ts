// The writers against real dumps of ../shared: kernel facts only, nothing of them is kept here.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { builtinKernelLayout, forge, loadScenario } from '../src/index.ts';
import { buildKdbg, kdbgSize } from '../src/kernel/kdbg.ts';
import { Layout } from '../src/kernel/layout.ts';
import { images, scenarios } from './shipped.ts';

const shared = process.env['DUMPSCOPE_SHARED'] ?? fileURLToPath(new URL('../../../../shared/', import.meta.url));
const folder = `${shared}/dumps/kernel/`;
const present = existsSync(folder);
if (!present) console.warn('forge: ../shared is absent, real dumps are not compared');

const TRIAGE = 0x2000;

function open(name: string): { bytes: Uint8Array; view: DataView; u32: (at: number) => number } {
  const bytes = new Uint8Array(readFileSync(folder + name));
  const view = new DataView(bytes.buffer);
  return { bytes, view, u32: (at) => view.getUint32(at, true) };
}

/** TRIAGE_DUMP64 fields in the order in which the parts follow each other in the file. */
const PARTS = [
  ['MmOffset', 0x14],
  ['UnloadedDriversOffset', 0x18],
  ['PrcbOffset', 0x1c],
  ['ProcessOffset', 0x20],
  ['ThreadOffset', 0x24],
  ['CallStackOffset', 0x28],
  ['DebuggerDataOffset', 0x70],
  ['DriverListOffset', 0x30],
  ['StringPoolOffset', 0x38],
  ['DataBlocksOffset', 0x78],
] as const;

interface Shape {
  readonly order: readonly string[];
  readonly aligned: boolean;
  readonly strideOfDrivers: number;
  readonly firstString: number;
  readonly validFromEnd: number;
  readonly contextAndException: readonly [number, number];
  readonly stringUnits: boolean;
  readonly blocksFollowTable: boolean;
  readonly trailer: string;
}

function shapeOf(bytes: Uint8Array): Shape {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (at: number): number => view.getUint32(at, true);
  const parts = PARTS.map(([name, at]) => ({ name, offset: u32(TRIAGE + at) })).sort((a, b) => a.offset - b.offset);
  const list = u32(TRIAGE + 0x30);
  const pool = u32(TRIAGE + 0x38);
  const count = u32(TRIAGE + 0x34);
  const stride = Math.floor((pool - list) / count / 8) * 8;
  const name = u32(list);
  const units = u32(name);
  const table = u32(TRIAGE + 0x78);
  const blocks = u32(TRIAGE + 0x7c);
  const size = u32(TRIAGE + 4);
  const valid = u32(TRIAGE + 8);
  return {
    order: parts.map((part) => part.name),
    aligned: parts.every((part) => part.offset % 8 === 0),
    strideOfDrivers: stride,
    firstString: name - pool,
    validFromEnd: size - valid,
    contextAndException: [u32(TRIAGE + 0xc), u32(TRIAGE + 0x10)],
    stringUnits: view.getUint16(name + 4 + units * 2, true) === 0 && view.getUint16(name + 4, true) === 0x5c,
    blocksFollowTable: u32(table + 8) === table + blocks * 16,
    trailer: String.fromCharCode(...bytes.subarray(valid, valid + 4)),
  };
}

describe.skipIf(!present)('real dumps', () => {
  it.each([
    ['x64-19041-0x3b-ntfs.dmp', 'x64-10.0.19041-89284d0c'],
    ['x64-19041-0x139-list-corruption.dmp', 'x64-10.0.19041-89284d0c'],
    ['x64-19041-0x7e-amdppm.dmp', 'x64-10.0.19041-5278aff8'],
  ])('%s: KDBG is what the forge writes for that kernel', (name, id) => {
    const { bytes, view, u32 } = open(name);
    const at = u32(TRIAGE + 0x70);
    const base = view.getBigUint64(at + 0x18, true);
    const kernel = builtinKernelLayout('x64', id, false);
    const ours = buildKdbg({
      arch: 'x64',
      build: 19041,
      size: kdbgSize(19041),
      kernelBase: base,
      paeEnabled: false,
      layout: new Layout(kernel),
      listHead: view.getBigUint64(at, true),
      global: (symbol) => {
        const rva = kernel.global(symbol);
        return rva === undefined ? undefined : base + BigInt(rva);
      },
    });
    expect(ours.length).toBe(u32(TRIAGE + 0x74));
    const differing: string[] = [];
    for (let i = 0; i < 0x360; i += 2) {
      // MmPagedPoolCommit: no public symbol lies where it points on 19041.
      if (i >= 0x170 && i < 0x178) continue;
      const real = view.getUint16(at + i, true);
      const own = new DataView(ours.buffer).getUint16(i, true);
      if (real !== own) differing.push(i.toString(16));
    }
    expect(differing).toEqual([]);
    expect(bytes.length).toBeGreaterThan(at);
  });

  it('ARM64: offsets of KDBG are those of the real dump', () => {
    const { view, u32 } = open('arm64-22000-0x1c8.dmp');
    const at = u32(TRIAGE + 0x70);
    const kernel = builtinKernelLayout('arm64', '10.0.22000.318', false);
    const ours = buildKdbg({
      arch: 'arm64',
      build: 22000,
      size: kdbgSize(22000),
      kernelBase: view.getBigUint64(at + 0x18, true),
      paeEnabled: false,
      layout: new Layout(kernel),
      listHead: 0n,
      global: () => undefined,
    });
    const differing: string[] = [];
    for (let i = 0x298; i < 0x360; i += 2) {
      // Pointers, and what no layout has: MaxBreakpoints and MaxWatchpoints of the PRCB.
      if ((i >= 0x2c8 && i < 0x2e0) || (i >= 0x308 && i < 0x338) || i === 0x33a || i === 0x33c) continue;
      if (view.getUint16(at + i, true) !== new DataView(ours.buffer).getUint16(i, true)) differing.push(i.toString(16));
    }
    expect(differing).toEqual([]);
  });

  it.each([
    'x64-19041-0x3b-ntfs.dmp',
    'x64-19041-0x133-cumulative-24cpu.dmp',
    'x64-9600-0xea-stuck-driver.dmp',
    'arm64-22000-0x1c8.dmp',
  ])('%s: a forged triage dump is built the same way', (name) => {
    const forged = forge({ ...loadScenario('S03', scenarios), dump: 'triage' }, images).bytes;
    if (forged === null) throw new Error('no bytes');
    expect(shapeOf(forged)).toEqual(shapeOf(open(name).bytes));
  });

  it('header fields that real triage dumps leave unwritten are left so here', () => {
    const { attributes: _, ...header } = loadScenario('S03', scenarios).header ?? {};
    const forged = forge({ ...loadScenario('S03', scenarios), header, dump: 'triage' }, images).bytes;
    if (forged === null) throw new Error('no bytes');
    const real = open('x64-19041-0x3b-ntfs.dmp').bytes;
    const blank = (bytes: Uint8Array, at: number): boolean =>
      new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true) === 0x45474150;
    const differing: string[] = [];
    for (const [from, to] of [
      [0, 0x348],
      [0xf00, 0x2000],
    ] as const) {
      for (let at = from; at < to; at += 4) if (blank(forged, at) !== blank(real, at)) differing.push(at.toString(16));
    }
    expect(differing).toEqual([]);
  });
});

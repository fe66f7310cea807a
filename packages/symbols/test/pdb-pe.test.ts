/** Images against llvm-readobj-19: headers, sections, exports, relocations, .pdata with chained entries, CodeView. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ImageFile, listRuntimeFunctions, MACHINE_AMD64 } from '../src/pe/index.ts';
import { BUILDS, build, canBuild } from './pdb-build.ts';
import { hasTool } from './pdb-llvm.ts';
import { nodePtyFiles, openFile, sharedFiles } from './pdb-paths.ts';

const READOBJ = 'llvm-readobj-19';
const hasLlvm = hasTool(READOBJ);
if (!hasLlvm) console.log(`SKIPPED: ${READOBJ} is not installed; images are not compared`);

function readobj(path: string, ...options: string[]): string[] {
  return execFileSync(READOBJ, [...options, path], { encoding: 'latin1', maxBuffer: 1 << 28 }).split('\n');
}

/** Values of `key: value` lines in their order. */
function values(lines: readonly string[], key: string): string[] {
  const out: string[] = [];
  for (const line of lines) {
    const match = new RegExp(`^\\s*${key}: (.*)$`).exec(line);
    if (match !== null) out.push(match[1]?.trim() ?? '');
  }
  return out;
}

function compare(path: string): void {
  const image = new ImageFile(readFileSync(path), path);
  const { pe } = image;
  const base = pe.headers.imageBase;

  it('headers and sections', () => {
    const lines = readobj(path, '--file-headers', '--sections', '--coff-debug-directory');
    const one = (key: string): string => values(lines, key)[0] ?? '';
    expect(Number(/\((0x[0-9A-F]+)\)/.exec(one('Machine'))?.[1])).toBe(pe.machine);
    expect(Number(/\((0x[0-9A-F]+)\)/.exec(one('TimeDateStamp'))?.[1])).toBe(pe.headers.timeDateStamp);
    expect(BigInt(one('ImageBase'))).toBe(base);
    expect(Number(one('SizeOfImage'))).toBe(pe.headers.sizeOfImage);
    expect(Number(one('AddressOfEntryPoint'))).toBe(pe.headers.entryPoint);
    expect(pe.sections?.map((s) => s.virtualAddress)).toEqual(values(lines, 'VirtualAddress').map(Number));
    expect(pe.sections?.map((s) => s.virtualSize)).toEqual(values(lines, 'VirtualSize').map(Number));
    expect(pe.headers.problems).toEqual([]);
    // `PDBGUID: {…}` with the age beside it
    expect(pe.codeView?.guid).toBe(one('PDBGUID').replace(/[{}]/g, ''));
    expect(pe.codeView?.age).toBe(Number(one('PDBAge')));
    expect(pe.codeView?.path).toBe(one('PDBFileName'));
  });

  it('exports', () => {
    const lines = readobj(path, '--coff-exports');
    const theirs: string[] = [];
    for (const block of lines.join('\n').split('Export {').slice(1)) {
      const one = (key: string): string => values(block.split('\n'), key)[0] ?? '';
      const rva = Number(one('RVA'));
      // Slots without an address are no exports.
      if (rva === 0 && one('ForwardedTo') === '') continue;
      theirs.push(`${one('Ordinal')} ${one('Name')} ${rva} ${one('ForwardedTo')}`);
    }
    const ours = (pe.exports?.entries ?? []).map((e) => `${e.ordinal} ${e.name ?? ''} ${e.rva} ${e.forwarder ?? ''}`);
    expect(ours.sort()).toEqual(theirs.sort());
    expect(pe.exports?.complete ?? true).toBe(true);
  });

  it('relocations', () => {
    const lines = readobj(path, '--coff-basereloc');
    const types = values(lines, 'Type');
    const theirs = values(lines, 'Address')
      .map((address, i) => `${types[i]} ${Number(address)}`)
      .filter((line) => !line.startsWith('ABSOLUTE'));
    const names: Readonly<Record<number, string>> = { 3: 'HIGHLOW', 10: 'DIR64' };
    const ours: string[] = [];
    for (const [page, entries] of image.relocations) {
      for (const e of entries) if (e >> 12 !== 0) ours.push(`${names[e >> 12]} ${page + (e & 0xfff)}`);
    }
    expect(ours.sort()).toEqual(theirs.sort());
    // Moved by 64 KiB, every relocated value moves by that; nothing else changes. Read in two ways.
    const moved = image.readAt(base + 0x1_0000n, 0, pe.headers.sizeOfImage);
    const linked = image.read(0, pe.headers.sizeOfImage);
    if (moved === null || linked === null) throw new Error('the image cannot be read');
    const change = new Map(theirs.map((line) => [Number(line.split(' ')[1]), line.startsWith('DIR64') ? 8 : 4]));
    const view = new DataView(moved.buffer);
    const before = new DataView(linked.buffer);
    for (const [at, width] of change) {
      if (width === 8) expect(view.getBigUint64(at, true)).toBe(before.getBigUint64(at, true) + 0x1_0000n);
      else expect(view.getUint32(at, true)).toBe((before.getUint32(at, true) + 0x1_0000) >>> 0);
    }
    for (let at = 0x1000; at < 0x1200; at += 3) {
      expect(image.readAt(base + 0x1_0000n, at, 5)).toEqual(moved.slice(at, at + 5));
    }
  });

  it('runtime functions', () => {
    const pdata = pe.pdata;
    if (pdata === undefined) return;
    // llvm-readobj 19 crashes inside of the chained entries of MSVC's x64 images: what it printed before is compared.
    const run = spawnSync(READOBJ, ['--unwind', path], { encoding: 'latin1', maxBuffer: 1 << 28 });
    const lines = run.stdout.split('\n');
    const { entries, complete } = listRuntimeFunctions(
      (rva, n) => image.read(rva, n),
      pdata.rva,
      pdata.size,
      pe.machine,
    );
    expect(complete).toBe(true);
    const theirs = llvmFunctions(lines, pe.machine === MACHINE_AMD64, base);
    if (run.status !== 0) {
      theirs.pop();
      expect(theirs.length).toBeGreaterThan(entries.length / 3);
      entries.length = theirs.length;
    }
    expect(entries.map((e) => `${e.begin}-${e.end}`)).toEqual(theirs.map((f) => `${f.begin}-${f.end}`));
    const byBegin = new Map(theirs.map((f) => [f.begin, f]));
    for (const entry of entries) {
      for (const rva of [entry.begin, entry.end - 1]) {
        const found = pe.runtimeFunction(rva);
        if (found.status !== 'found') throw new Error(`0x${rva.toString(16)}: ${found.status}`);
        expect(found.entry.begin).toBe(entry.begin);
        // The end of the chain as llvm prints it, entry by entry.
        let primary = entry.begin;
        for (let f = byBegin.get(primary); f?.chained !== null && f !== undefined; f = byBegin.get(primary))
          primary = f.chained;
        expect(found.primary.begin).toBe(primary);
      }
    }
    const first = entries[0];
    if (first !== undefined) expect(pe.runtimeFunction(first.begin - 1).status).toBe('none');
    expect(pe.runtimeFunction(0xffff_0000).status).toBe('none');
  });
}

interface LlvmFunction {
  readonly begin: number;
  readonly end: number;
  chained: number | null;
}

function llvmFunctions(lines: readonly string[], isX64: boolean, base: bigint): LlvmFunction[] {
  const out: LlvmFunction[] = [];
  const rva = (text: string): number => Number(BigInt(text) - base);
  let begin = 0;
  let isChain = false;
  for (const line of lines) {
    if (/Chained \{/.test(line)) isChain = true;
    if (/RuntimeFunction \{/.test(line)) isChain = false;
    const start = /(?:StartAddress|Function): .*?(0x[0-9A-F]+)/.exec(line)?.[1];
    if (start !== undefined) {
      begin = rva(start);
      const last = out.at(-1);
      if (isChain && last !== undefined) last.chained = begin;
    }
    const end = isX64 ? /EndAddress: .*?(0x[0-9A-F]+)/.exec(line)?.[1] : /^\s*FunctionLength: (\d+)/.exec(line)?.[1];
    if (end !== undefined && !isChain) {
      out.push({ begin, end: isX64 ? rva(end) : begin + Number(end), chained: null });
    }
  }
  return out;
}

describe.skipIf(!hasLlvm)('images as llvm-readobj-19 reads them', () => {
  for (const path of [...sharedFiles(/\.(dll|exe)$/), ...nodePtyFiles(/\.(dll|exe|node)$/)]) {
    // OpenConsole and conpty come signed and without a PDB path.
    if (/OpenConsole|conpty\.dll|linux|darwin/.test(path)) continue;
    describe(path.slice(path.lastIndexOf('/') + 1), () => compare(path));
  }
  for (const what of canBuild() ? BUILDS : []) {
    describe(`built ${what.name}`, () => {
      compare(build(what).image);
      it('names its PDB', () => {
        const { image, pdb: path } = build(what);
        const pdb = openFile(path);
        const { codeView } = new ImageFile(readFileSync(image), image).pe;
        expect([codeView?.guid, codeView?.age]).toEqual([pdb.guid, pdb.age]);
      });
    });
  }
});

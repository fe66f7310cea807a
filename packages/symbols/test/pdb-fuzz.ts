/** Damages PDBs and images and reads all of them; for the tests and for longer runs. */
import { bytesSource } from '@dumpscope/core';
import { openPdb, PdbError, type PdbRowKind, pdbRows, pdbSummary } from '../src/pdb/index.ts';
import { exportSymbols, ImageFile, listRuntimeFunctions, PeError } from '../src/pe/index.ts';
import { randomOf } from './pdb-writer.ts';

const VALUES = [
  0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x1000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff,
];

/** One damaged copy: bytes, words, cut, moved or repeated pieces; mostly in the parts that steer the reader. */
export function mutate(bytes: Uint8Array, seed: number): Uint8Array {
  const random = randomOf(seed * 2654435761 + 12345);
  const out = Uint8Array.from(bytes); // a Buffer slice would share its memory
  const view = new DataView(out.buffer);
  const count = 1 + random(random(4) === 0 ? 60 : 6);
  for (let i = 0; i < count; i++) {
    // Half of the damage goes to a narrow window, so that one structure gets several hits.
    const window = random(2) === 0 ? out.length : Math.min(out.length, 4096);
    const base = random(Math.max(1, out.length - window + 1));
    const at = Math.min(base + random(window), out.length - 4);
    if (at < 0) continue;
    switch (random(7)) {
      case 0:
        out[at] = random(256);
        break;
      case 1:
        out[at] = (out[at] ?? 0) ^ (1 << random(8));
        break;
      case 2:
        view.setUint32(at & ~3, VALUES[random(VALUES.length)] ?? 0, true);
        break;
      case 3:
        view.setUint16(at & ~1, VALUES[random(VALUES.length)] ?? 0, true);
        break;
      case 4:
        view.setUint32(at & ~3, (view.getUint32(at & ~3, true) + random(9) - 4) >>> 0, true);
        break;
      case 5: {
        const length = random(256);
        out.copyWithin(at, random(out.length), Math.min(out.length, at + length));
        break;
      }
      default:
        out.fill(random(256), at, Math.min(out.length, at + random(64)));
    }
  }
  return random(8) === 0 ? out.slice(0, random(out.length + 1)) : out;
}

const KINDS: readonly PdbRowKind[] = ['streams', 'publics', 'types', 'fpo', 'lines'];

/** Reads everything. Returns what it came to; throws what should never be thrown. */
export function exercisePdb(bytes: Uint8Array): 'refused' | 'read' {
  let pdb: ReturnType<typeof openPdb>;
  try {
    pdb = openPdb(bytesSource(bytes, 'fuzz.pdb'));
  } catch (error) {
    if (error instanceof PdbError && !error.message.includes('\n')) return 'refused';
    throw error;
  }
  pdbSummary(pdb);
  const info = pdb.debugInfo();
  for (const name of ['DriverEntry', 'Foo::Bar', '_x@8', '']) {
    pdb.publics.byName(name);
    info.symbols.byName(name);
    pdb.types.struct(name);
  }
  for (let rva = 0; rva < 0x8000; rva += 0x7b) {
    pdb.publics.nearest(rva);
    info.symbols.nearest(rva);
    info.frameRecord(rva);
    info.line(rva);
    pdb.inlineFrames(rva);
  }
  info.symbols.next(0x1000);
  pdb.publics.next(0x1000);
  for (const kind of KINDS) pdbRows(pdb, kind);
  let count = 0;
  for (const name of pdb.types.structNames()) {
    pdb.types.struct(name);
    pdb.types.enumeration(name);
    if (++count > 20_000) break;
  }
  for (const symbol of info.symbols.all()) if (symbol.rva < 0) throw new Error('negative RVA');
  for (const problem of pdb.problems) if (problem.message.includes('\n')) throw new Error('problem of several lines');
  return 'read';
}

/** The same for an image. */
export function exercisePe(bytes: Uint8Array): 'refused' | 'read' {
  let image: ImageFile;
  try {
    image = new ImageFile(bytes, 'fuzz.sys');
  } catch (error) {
    if (error instanceof PeError && !error.message.includes('\n')) return 'refused';
    throw error;
  }
  const { pe } = image;
  const read = (rva: number, length: number): Uint8Array | null => image.read(rva, length);
  void pe.debugEntries;
  void pe.codeView;
  void pe.version;
  exportSymbols(pe.exports, pe.machine).nearest(0x1234);
  const pdata = pe.pdata;
  if (pdata !== undefined) listRuntimeFunctions(read, pdata.rva, pdata.size, pe.machine);
  for (let rva = 0; rva < 0x8000; rva += 0x7b) {
    pe.runtimeFunction(rva);
    pe.sectionAt(rva);
    image.readAt(pe.headers.imageBase + 0x1234_0000n, rva, 64);
  }
  return 'read';
}

/** Runs `count` mutations of each input from `seed` on; `report` gets the slowest and the failures. */
export function fuzz(
  inputs: readonly { readonly name: string; readonly bytes: Uint8Array }[],
  exercise: (bytes: Uint8Array) => unknown,
  count: number,
  seed: number,
  onFailure: (name: string, seed: number, error: unknown) => void,
): number {
  let runs = 0;
  for (const { name, bytes } of inputs) {
    for (let i = 0; i < count; i++) {
      runs++;
      try {
        exercise(mutate(bytes, seed + i));
      } catch (error) {
        onFailure(name, seed + i, error);
      }
    }
  }
  return runs;
}

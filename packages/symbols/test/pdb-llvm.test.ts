/**
 * Every public, type, frame record and line of every PDB that is at hand, read by our reader and by llvm-pdbutil-19.
 * What llvm-pdbutil-19 cannot judge, and what judges it instead:
 * - FPO_DATA.fHasSEH and fUseBP: llvm 19 takes bits 9 and 10 of the attribute word, which belong to cbRegs; the bits are
 *   11 and 12 (winnt.h, FPO_DATA). Checked here against llvm's columns as what they are, bits of cbRegs.
 * - RVAs of images with OMAP: llvm prints section:offset and RVAs before the translation. pdb-omap.test.ts checks them
 *   against facts of the .sym files that DIA made (google/breakpad).
 * - Types of version 19990903 and older with 16-bit indices and length-prefixed names, MSF 2.00, old line tables, old
 *   DBI headers: pdb-old.test.ts, on files written for the test.
 */
import { describe, expect, it } from 'vitest';
import { pdbRows } from '../src/pdb/rows.ts';
import { builtPdbs, canBuild } from './pdb-build.ts';
import {
  hasTool,
  LLVM_PDBUTIL,
  llvmFrames,
  llvmLayouts,
  llvmLines,
  llvmPublics,
  llvmSections,
  llvmStreams,
  llvmSummary,
  llvmTypes,
} from './pdb-llvm.ts';
import { expandedPdbs, nodePtyFiles, openFile, sharedFiles } from './pdb-paths.ts';

const hasLlvm = hasTool(LLVM_PDBUTIL);
const shared = [...sharedFiles(/\.pdb$/), ...expandedPdbs()];
const nodePty = nodePtyFiles(/\.pdb$/);
if (!hasLlvm) console.log(`SKIPPED: ${LLVM_PDBUTIL} is not installed; PDBs are not compared with it`);
if (!canBuild()) console.log('SKIPPED: clang-19 or lld-link-19 is not installed; no PDBs are built');

/** Sorted lists are compared as text, so that a difference shows the first lines that differ. */
function expectSame(ours: readonly string[], theirs: readonly string[]): void {
  if (ours.length === theirs.length && ours.every((line, i) => line === theirs[i])) return;
  const mine = new Set(ours);
  const other = new Set(theirs);
  expect({
    count: ours.length,
    onlyOurs: ours.filter((line) => !other.has(line)).slice(0, 10),
    onlyTheirs: theirs.filter((line) => !mine.has(line)).slice(0, 10),
  }).toEqual({ count: theirs.length, onlyOurs: [], onlyTheirs: [] });
  expect(ours).toEqual(theirs);
}

function compare(path: string): void {
  const pdb = openFile(path);

  it('summary and streams', () => {
    const summary = llvmSummary(path);
    expect({
      guid: pdb.guid,
      age: pdb.info.age,
      blockSize: pdb.msf.blockSize,
      streams: pdb.msf.streamCount,
      stripped: pdb.dbi?.isStripped,
      hasIds: pdb.info.hasIds,
    }).toEqual(summary);
    expect(pdbRows(pdb, 'streams').map((row) => row.size)).toEqual(llvmStreams(path));
  });

  it('publics', () => {
    const rows = pdbRows(pdb, 'publics');
    const ours = rows.map((r) => `${latin1(r.name)} ${r.section}:${r.offset} ${r.isFunction === true ? 'f' : '-'}`);
    expectSame(ours.sort(), llvmPublics(path));
    const sections = llvmSections(path);
    if (pdb.addresses?.omapFrom === null) {
      for (const row of rows) {
        const start = sections[row.section];
        expect(row.rva).toBe(start === undefined ? null : start + row.offset);
      }
    }
    // Each is found by its stored name through the hash, and by its address.
    const byName = new Map<string, Set<number | null>>();
    for (const row of rows) byName.set(row.name, (byName.get(row.name) ?? new Set()).add(row.rva));
    for (const row of rows) {
      if (row.rva === null) continue;
      const symbol = pdb.publics.byName(row.name);
      expect(symbol?.name).toBe(row.name);
      expect(byName.get(row.name)?.has(symbol?.rva ?? null)).toBe(true);
      if (pdb.addresses?.omapFrom === null) expect(pdb.publics.nearest(row.rva)?.rva).toBe(row.rva);
    }
  });

  it('types', () => {
    const types = llvmTypes(path);
    const theirs = llvmLayouts(types);
    const ours: string[] = [];
    for (const row of pdbRows(pdb, 'types')) {
      const id = `0x${row.index.toString(16)}`;
      const suffix = `_${row.index.toString(16)}`;
      const plain = row.name.endsWith(suffix) && /(__unnamed|-tag>|-type>|::)$/.test(row.name.slice(0, -suffix.length));
      const name = plain ? row.name.slice(0, -suffix.length) : row.name;
      ours.push(`${id} ${row.kind} ${latin1(name)}${row.kind === 'enum' ? '' : ` size ${row.size}`}`);
      for (const member of row.members) {
        if (member.name === '__VFN_table') continue;
        const bits = member.bitLength === null ? '-' : `${member.bitPosition}+${member.bitLength}`;
        ours.push(`${id} .${latin1(member.name)} ${member.offset} bits ${bits} ${plainText(member.type)}`);
      }
      for (const base of row.bases) ours.push(`${id} base ${base.offset} ${plainText(base.name)}`);
      for (const value of row.values) ours.push(`${id} ${latin1(value.name)} = ${value.value}`);
    }
    expectSame(ours.sort(), theirs.sort());
  });

  it('frame records', () => {
    const theirs = llvmFrames(path);
    const rows = pdbRows(pdb, 'fpo');
    const stored = (i: number): string => hex8(pdb.frames?.record(i)?.rva ?? 0);
    const fpo = rows.filter((r) => r.kind === 'fpo');
    const frameTypes = ['FPO', 'Trap', 'TSS', 'Non-FPO'];
    expectSame(
      fpo.map((r, i) => {
        // See the comment at the top: these two columns are bits of cbRegs in llvm's reading.
        const useBp = ((r.savedRegs / 4) & 4) !== 0;
        const hasSeh = ((r.savedRegs / 4) & 2) !== 0;
        return [
          stored(i),
          r.size,
          r.locals / 4,
          r.params / 4,
          r.prolog,
          r.savedRegs / 4,
          useBp,
          hasSeh,
          frameTypes[r.frameType ?? 0],
        ].join(' | ');
      }),
      theirs.fpo,
    );
    expectSame(
      rows
        .slice(fpo.length)
        .map((r, i) =>
          [
            stored(fpo.length + i),
            r.size,
            r.locals,
            r.params,
            r.maxStack,
            r.prolog,
            r.savedRegs,
            r.hasSeh,
            ((r.flags ?? 0) & 2) !== 0,
            r.isFunctionStart,
            r.program.trim(),
          ].join(' | '),
        ),
      theirs.frameData,
    );
  });

  it('lines', () => {
    const ours = pdbRows(pdb, 'lines').map((r) => `${r.section}:${r.offset} ${r.line} ${latin1(r.file)}`);
    expectSame(ours.sort(), llvmLines(path).sort());
  });
}

/** Type texts as llvm has them: unnamed types without our index, its spelling of simple types. */
function plainText(text: string): string {
  return latin1(text)
    .replace(/(__unnamed|-tag>|-type>|::)_[0-9a-f]{4,8}\b/, '$1')
    .replace(/^unsigned int\b/, 'unsigned');
}

function hex8(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}

/** UTF-8 names as the bytes that llvm-pdbutil prints, read as Latin-1. */
function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

describe.skipIf(!hasLlvm)('PDBs as llvm-pdbutil-19 reads them', () => {
  for (const path of [...shared, ...nodePty])
    describe(path.slice(path.lastIndexOf('/symbols/') + 1), () => compare(path));
  for (const path of builtPdbs()) describe(`built ${path.slice(path.lastIndexOf('/') + 1)}`, () => compare(path));
});

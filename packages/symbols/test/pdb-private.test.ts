/** Procedures and inlined calls of the modules' private symbols against `llvm-pdbutil-19 dump -symbols`. */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { type InlineRange, readInlineSites } from '../src/pdb/inline-sites.ts';
import { itemName } from '../src/pdb/item-names.ts';
import { moduleSymbolBytes } from '../src/pdb/module-symbols.ts';
import { BUILDS, build, builtPdbs, canBuild } from './pdb-build.ts';
import { dump, hasTool, LLVM_PDBUTIL } from './pdb-llvm.ts';
import { nodePtyFiles, openFile, sharedFiles } from './pdb-paths.ts';

const hasLlvm = hasTool(LLVM_PDBUTIL);
if (!hasLlvm) console.log(`SKIPPED: ${LLVM_PDBUTIL} is not installed; private symbols are not compared`);

interface LlvmSite {
  readonly name: string;
  readonly ranges: InlineRange[];
}

interface LlvmProcedure {
  readonly module: number;
  readonly record: number;
  readonly name: string;
  readonly place: string;
  readonly size: number;
  readonly sites: LlvmSite[];
}

function llvmProcedures(path: string): LlvmProcedure[] {
  const out: LlvmProcedure[] = [];
  let module = -1;
  let head: { name: string; record: number } | null = null;
  let current: LlvmProcedure | null = null;
  let site: LlvmSite | null = null;
  let open: { start: number; line: number; file: number | null } | null = null;
  let line = 0;
  let file: number | null = null;
  const close = (end: number): void => {
    if (open !== null && site !== null && end > open.start) {
      site.ranges.push({ start: open.start, end, lineOffset: open.line, file: open.file });
    }
    open = null;
  };
  for (const text of dump(path, '-symbols')) {
    const mod = /^\s*Mod (\d+) \|/.exec(text);
    if (mod !== null) {
      module = Number(mod[1]);
      current = null;
    }
    const record = /^\s*(\d+) \| (S_\w+)(?: \[size = \d+\])?(?: `(.*)`)?/.exec(text);
    if (record !== null) {
      site = null;
      const kind = record[2] ?? '';
      const isProcedure = /^S_[GL]PROC32(_ID)?$/.test(kind);
      head = isProcedure ? { name: record[3] ?? '', record: Number(record[1]) } : null;
      if (kind === 'S_INLINESITE' && current !== null) {
        site = { name: '', ranges: [] };
        current.sites.push(site);
        open = null;
        line = 0;
        file = null;
      }
      continue;
    }
    const place = /addr = (\d+):(\d+), code size = (\d+)/.exec(text);
    if (place !== null && head !== null) {
      const at = `${Number(place[1])}:${Number(place[2])}`;
      current = { module, ...head, place: at, size: Number(place[3]), sites: [] };
      out.push(current);
      continue;
    }
    if (site === null) continue;
    const name = /inlinee = 0x[0-9A-F]+ \((.*)\), parent/.exec(text);
    if (name !== null) site = replaceLast(current, { ...site, name: name[1] ?? '' });
    const annotation = /^\s+[0-9A-F]{2,} +(.*)$/.exec(text)?.[1];
    if (annotation === undefined) continue;
    const toLine = /\bline (-?\d+)/.exec(annotation);
    if (toLine !== null) line = Number(toLine[1]);
    const toFile = /setfile .*0x([0-9A-F]+)/.exec(annotation);
    if (toFile !== null) file = Number.parseInt(toFile[1] ?? '', 16);
    const start = /\bcode 0x([0-9A-F]+)/.exec(annotation);
    if (start !== null) {
      const at = Number.parseInt(start[1] ?? '', 16);
      close(at);
      open = { start: at, line, file };
    }
    const end = /\bcode end 0x([0-9A-F]+)/.exec(annotation);
    if (end !== null) close(Number.parseInt(end[1] ?? '', 16));
  }
  return out;
}

function replaceLast(procedure: LlvmProcedure | null, site: LlvmSite): LlvmSite {
  if (procedure !== null) procedure.sites[procedure.sites.length - 1] = site;
  return site;
}

/** Ranges without their files: llvm prints those as text. */
function shape(ranges: readonly InlineRange[]): string {
  return ranges.map((r) => `${r.start}-${r.end}+${r.lineOffset}`).join(' ');
}

function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

function compare(path: string): void {
  const pdb = openFile(path);
  const theirs = llvmProcedures(path);
  const procedures = pdb.procedures;

  it('procedures', () => {
    const ours: string[] = [];
    for (const module of procedures?.modules ?? []) {
      for (const p of procedures?.module(module.index).procedures ?? []) {
        if (p.kind === 'procedure')
          ours.push(`${p.module} ${p.record} ${latin1(p.name)} ${p.section}:${p.offset} ${p.size}`);
      }
    }
    expect(ours).toEqual(theirs.map((p) => `${p.module} ${p.record} ${p.name} ${p.place} ${p.size}`));
  });

  it('names by address and back', () => {
    const info = pdb.debugInfo();
    for (const module of procedures?.modules ?? []) {
      for (const p of procedures?.module(module.index).procedures ?? []) {
        const start = procedures?.start(p) ?? -1;
        if (start < 0 || p.size === 0 || pdb.addresses?.omapFrom !== null) continue;
        const last = info.symbols.nearest(start + p.size - 1);
        // Identical functions are folded: another name of the same place is as good.
        expect([last?.rva, last?.size]).toEqual([start, p.size]);
        const found = info.symbols.byName(p.name);
        expect([found?.display, found?.name]).toContain(p.name);
      }
    }
  });

  it('inlined calls', () => {
    for (const procedure of theirs) {
      const module = procedures?.modules[procedure.module];
      if (module === undefined || procedure.sites.length === 0) continue;
      const sites = readInlineSites(moduleSymbolBytes(pdb.msf, module), procedure.record);
      expect(sites.map((s) => shape(s.ranges))).toEqual(procedure.sites.map((s) => shape(s.ranges)));
      sites.forEach((ours, i) => {
        const name = pdb.items === null ? null : itemName(pdb.items, pdb.typeRecords, ours.inlinee);
        // llvm shows the name without its scope, and long ones cut.
        const shown = (procedure.sites[i]?.name ?? '?').replace(/\.\.\.$/, '');
        expect(latin1(name ?? '').includes(shown) ? shown : name).toBe(shown);
        expect(ours.parent).toBeLessThan(i);
      });
    }
  });
}

describe.skipIf(!hasLlvm)('private symbols as llvm-pdbutil-19 reads them', () => {
  for (const path of [...sharedFiles(/\.pdb$/), ...nodePtyFiles(/\.pdb$/)]) {
    describe(path.slice(path.lastIndexOf('/') + 1), () => compare(path));
  }
  for (const path of builtPdbs()) describe(`built ${path.slice(path.lastIndexOf('/') + 1)}`, () => compare(path));
});

const SYMBOLIZER = 'llvm-symbolizer-19';
const hasSymbolizer = canBuild() && hasTool(SYMBOLIZER);
if (!hasSymbolizer) console.log(`SKIPPED: clang-19 or ${SYMBOLIZER} is not installed; inline frames are not compared`);

/** Frames of each address as `function:line`, innermost first. */
function symbolize(image: string, rvas: readonly number[]): string[] {
  const text = execFileSync(SYMBOLIZER, [`--obj=${image}`, '--relative-address', '--functions=linkage'], {
    input: rvas.map((rva) => `0x${rva.toString(16)}\n`).join(''),
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  return text
    .trimEnd()
    .split('\n\n')
    .map((block) => {
      const lines = block.split('\n');
      const frames: string[] = [];
      for (let i = 0; i + 1 < lines.length; i += 2) {
        frames.push(`${lines[i]}:${/:(\d+):\d+$/.exec(lines[i + 1] ?? '')?.[1]}`);
      }
      return frames.join(' ');
    });
}

describe.skipIf(!hasSymbolizer)('lines and inline frames as llvm-symbolizer-19 gives them', () => {
  for (const what of BUILDS.filter((b) => b.language === 'c' && b.compile.includes('-g'))) {
    it(what.name, () => {
      const { image, pdb: path } = build(what);
      const pdb = openFile(path);
      const info = pdb.debugInfo();
      const rvas: number[] = [];
      for (const module of pdb.procedures?.modules ?? []) {
        for (const p of pdb.procedures?.module(module.index).procedures ?? []) {
          const start = pdb.procedures?.start(p) ?? 0;
          for (let at = 0; at < p.size; at++) rvas.push(start + at);
        }
      }
      expect(rvas.length).toBeGreaterThan(200);
      const ours = rvas.map((rva) => {
        const frames = pdb.inlineFrames(rva).map((frame) => `${frame.name}:${frame.line}`);
        frames.push(`${info.symbols.nearest(rva)?.display}:${info.line(rva)?.line ?? 0}`);
        return frames.join(' ');
      });
      expect(ours).toEqual(symbolize(image, rvas));
    });
  }
});

/** Procedures and inlined calls of the modules' private symbols against `llvm-pdbutil-19 dump -symbols`. */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { registerName } from '../src/pdb/cv-registers.ts';
import { type InlineRange, readInlineSites } from '../src/pdb/inline-sites.ts';
import { itemName } from '../src/pdb/item-names.ts';
import { type PlacedRange, readFrameRegisters, readLocals } from '../src/pdb/locals.ts';
import { moduleSymbolBytes } from '../src/pdb/module-symbols.ts';
import { BUILDS, build, builtPdbs, canBuild } from './pdb-build.ts';
import { dump, hasTool, LLVM_PDBUTIL } from './pdb-llvm.ts';
import { expandedPdbs, nodePtyFiles, openFile, sharedFiles } from './pdb-paths.ts';

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

/** Variables of every procedure, one line each: name, then places. */
function llvmLocals(path: string): string[] {
  const out: string[] = [];
  let inProcedure = false;
  let depth = 0;
  let module = '';
  const records: { kind: string; name: string; text: string; module: string }[] = [];
  for (const line of dump(path, '-symbols')) {
    module = /^\s*Mod (\d+) \|/.exec(line)?.[1] ?? module;
    const head = /^\s*\d+ \| (S_\w+)(?: \[size = \d+\])?(?: `(.*)`)?(.*)$/.exec(line);
    if (head !== null) records.push({ kind: head[1] ?? '', name: head[2] ?? '', text: head[3] ?? '', module });
    else {
      const last = records.at(-1);
      if (last !== undefined) last.text += ` ${line.trim()}`;
    }
  }
  for (const { kind, name, text } of records) {
    const opens = /^S_([GL]PROC32|BLOCK32|THUNK32|INLINESITE2?|SEPCODE|WITH32)(_ID)?$/.test(kind);
    if (opens) {
      if (depth === 0) inProcedure = /PROC32/.test(kind);
      depth++;
      continue;
    }
    if (/^S_(END|INLINESITE_END|PROC_ID_END)$/.test(kind)) {
      depth--;
      continue;
    }
    if (depth === 0 || !inProcedure) continue;
    const register = /register = (\w+)/.exec(text)?.[1]?.toLowerCase().replace('arm64_', '') ?? '';
    // Offsets of S_REGREL32 are printed unsigned.
    const offset = Number(/\boffset = (-?\d+)/.exec(text)?.[1] ?? 0) | 0;
    const place = /(?:range = \[|range start = )(\d+):(\d+)(?:,\+|, length = )(\d+)/.exec(text);
    const gaps = /gaps = \[(.*?)\]/.exec(text)?.[1]?.replace(/[() ]/g, '') ?? '';
    const at = place === null ? 'scope' : `${Number(place[1])}:${Number(place[2])}+${place[3]}/${gaps}`;
    const add = (where: string): void => {
      out[out.length - 1] += ` {${where} ${at}}`;
    };
    switch (kind) {
      case 'S_LOCAL':
      case 'S_FILESTATIC':
        out.push(name);
        break;
      case 'S_BPREL32':
        out.push(`${name} {frame ${offset} scope}`);
        break;
      case 'S_REGREL32':
        out.push(`${name} {[${register}] ${offset} scope}`);
        break;
      case 'S_REGISTER':
        out.push(`${name} {${register} scope}`);
        break;
      case 'S_LDATA32':
        out.push(`${name} {static scope}`);
        break;
      case 'S_DEFRANGE_REGISTER':
        add(register);
        break;
      case 'S_DEFRANGE_SUBFIELD_REGISTER':
        add(`${register}.${/offset in parent = (\d+)/.exec(text)?.[1]}`);
        break;
      case 'S_DEFRANGE_REGISTER_REL':
        add(`[${register}] ${offset}`);
        break;
      case 'S_DEFRANGE_FRAMEPOINTER_REL':
      case 'S_DEFRANGE_FRAMEPOINTER_REL_FULL_SCOPE':
        add(`frame ${offset}`);
    }
  }
  return out;
}

function placeText({ place, range, gaps }: PlacedRange, machine: number): string {
  const register = place.kind === 'register' || place.kind === 'memory' ? registerName(place.register, machine) : '';
  const inner =
    place.kind === 'register'
      ? register
      : place.kind === 'memory'
        ? `[${register}] ${place.offset}`
        : place.kind === 'frame'
          ? `frame ${place.offset}`
          : 'static';
  // llvm-pdbutil 19 takes a gap whose first byte is 0xf0 or more for padding and stops there.
  const stop = gaps.findIndex((gap) => (gap.offset & 0xff) >= 0xf0);
  const gapText = (stop < 0 ? gaps : gaps.slice(0, stop)).map((gap) => `${gap.offset},${gap.size}`).join(',');
  return `{${inner} ${range === null ? 'scope' : `${range.section}:${range.offset}+${range.size}/${gapText}`}}`;
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

  it('local variables', () => {
    const ours: string[] = [];
    for (const module of procedures?.modules ?? []) {
      const bytes = moduleSymbolBytes(pdb.msf, module);
      for (const p of procedures?.module(module.index).procedures ?? []) {
        if (p.kind !== 'procedure') continue;
        for (const local of readLocals(bytes, p.record)) {
          ours.push([latin1(local.name), ...local.places.map((place) => placeText(place, pdb.machine))].join(' '));
        }
      }
    }
    // llvm prints a part of a register with its place in the variable; registers that neither names are compared less.
    const plain = (lines: readonly string[]): string[] =>
      lines.map((line) =>
        line
          .replace(/\.\d+ /g, ' ')
          .replace(/cvreg \d+|\bunknown\b|\bemm\w+|\bamd64_ymm\d+|\b[xyz]mm\w+\b|\b[sdqvb]\d+\w*\b|\bst\d\b/g, '?'),
      );
    expect(plain(ours)).toEqual(plain(llvmLocals(path)));
  });

  it('frame registers', () => {
    // llvm-pdbutil 19 knows no frame registers of ARM64.
    if (pdb.machine === 0xaa64) return;
    const theirs: string[] = [];
    let module = '';
    let record = '';
    for (const line of dump(path, '-symbols')) {
      module = /^\s*Mod (\d+) \|/.exec(line)?.[1] ?? module;
      record = /^\s*(\d+) \| S_[GL]PROC32/.exec(line)?.[1] ?? record;
      const frame = /local fp reg = (\w+), param fp reg = (\w+)/.exec(line);
      // Separated code and funclets have frames of their own.
      if (frame !== null && record !== '')
        theirs.push(`${Number(module)} ${record} ${frame[1]} ${frame[2]}`.toLowerCase());
      if (frame !== null) record = '';
    }
    const ours = theirs.map((line) => {
      const [index = 0, at = 0] = line.split(' ').map(Number);
      const found = procedures?.modules[index];
      const bytes = found === undefined ? new Uint8Array(0) : moduleSymbolBytes(pdb.msf, found);
      const { locals, parameters } = readFrameRegisters(bytes, at, pdb.machine);
      const name = (r: number | null): string => (r === null ? 'none' : registerName(r, pdb.machine));
      return `${index} ${at} ${name(locals)} ${name(parameters)}`;
    });
    expect(ours).toEqual(theirs);
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
  for (const path of [...sharedFiles(/\.pdb$/), ...expandedPdbs(), ...nodePtyFiles(/\.pdb$/)]) {
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

// Builds image sets that share sources (packages/forge/images/x64-basic, by its images.json) with clang-19 and lld-19: PE
// images with unwind data, PDBs, and a manifest for each set. build-images.mjs is the program.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fail } from './run.mjs';

// A PDB records the linker's arguments and directory: both must not depend on where the repository lies.
const WORK = '/tmp/dumpscope-images-64';

const tools = { clang: 'clang-19', link: 'lld-link-19', dlltool: 'llvm-dlltool-19' };
const machines = {
  x64: { triple: 'x86_64-pc-windows-msvc', dlltool: 'i386:x86-64' },
  arm64: { triple: 'aarch64-pc-windows-msvc', dlltool: 'arm64' },
};

/** Version of the compiler, null where it is not installed: outputs are compared only for the same one. */
function toolVersion() {
  const result = spawnSync(tools.clang, ['--version'], { encoding: 'utf8' });
  const linker = spawnSync(tools.link, ['--version'], { encoding: 'utf8' });
  if (result.error || linker.error) return null;
  return /version (\S+)/.exec(result.stdout)?.[1] ?? null;
}

function tool(name, args) {
  const result = spawnSync(tools[name], args, { cwd: WORK, encoding: 'utf8' });
  if (result.error) fail(`${tools[name]}: ${result.error.message}`);
  if (result.status !== 0) fail(`${tools[name]} ${args.join(' ')}\n${result.stdout}${result.stderr}`);
}

const hex = (text) => Number.parseInt(text, 16);

/** RVA, virtual size and name of each section. */
function sectionsOf(path) {
  const bytes = readFileSync(path);
  const pe = bytes.readUInt32LE(0x3c);
  const table = pe + 24 + bytes.readUInt16LE(pe + 20);
  return Array.from({ length: bytes.readUInt16LE(pe + 6) }, (_, i) => {
    const at = table + i * 40;
    const name = bytes.toString('latin1', at, at + 8).replace(/\0+$/, '');
    return { name, size: bytes.readUInt32LE(at + 8), rva: bytes.readUInt32LE(at + 12) };
  });
}

/** Names by RVA from lld's map: publics and statics with a place in the image. */
function symbolsOf(path, base) {
  const out = new Map();
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const match = /^ [0-9a-f]{4}:[0-9a-f]{8} +(\S+) +([0-9a-f]{16}) /.exec(line);
    if (match === null || match[1].startsWith('__imp_') || /[.$@]/.test(match[1])) continue;
    const rva = BigInt(`0x${match[2]}`) - base;
    if (rva > 0n) out.set(match[1], Number(rva).toString(16));
  }
  return out;
}

function compile(set, source, symbols, output) {
  const { triple } = machines[set.machine];
  const common = [`--target=${triple}`, '-c', source, '-o', output];
  if (source.endsWith('.c')) {
    const flags = '-ffreestanding -fms-extensions -fno-stack-protector -O1 -g -gcodeview -fasynchronous-unwind-tables';
    const x64 = set.machine === 'x64' ? ['-mno-sse', '-mno-red-zone'] : [];
    tool('clang', [...common, ...flags.split(' '), ...x64, '-fdebug-compilation-dir=.', '-fno-ident']);
  } else {
    tool('clang', [...common, ...Object.entries(symbols).map(([name, value]) => `-Wa,-defsym,${name}=0x${value}`)]);
  }
}

/**
 * Links an image. Sections with a place of their own are kept there by sections without contents before them (real
 * kernels have such "Pad" sections too): a first link shows how large everything is, a second one puts the padding in.
 */
function link(set, image) {
  const { machine } = set;
  const out = (extension) => `${image.name}.${extension}`;
  const args = (objects) => [
    ...(image.dll ? ['/dll'] : ['/driver']),
    `/machine:${machine}`,
    '/subsystem:native',
    `/base:0x${image.base}`,
    `/entry:${image.entry}`,
    `/out:${image.file}`,
    '/debug',
    `/pdb:${image.pdb}`,
    `/pdbaltpath:${image.pdb}`,
    `/map:${out('map')}`,
    '/opt:noref,noicf',
    '/dynamicbase',
    '/nodefaultlib',
    '/incremental:no',
    '/Brepro',
    ...(image.exports ?? []).map((name) => `/export:${name}`),
    ...objects,
    ...(image.libraries ?? []),
  ];
  const wanted = Object.entries(image.sections ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  if (wanted.length === 0) {
    tool('link', args(image.objects));
    return;
  }
  tool('link', args(image.objects));
  const first = sectionsOf(join(WORK, image.file));
  const sizes = new Map(first.map((s) => [s.name, Math.ceil(s.size / 0x1000) * 0x1000]));
  // Custom sections follow the standard ones in the order of their names; .reloc comes last.
  let at = 0;
  for (const s of first)
    if (!sizes.has(s.name) || !wanted.some(([name]) => name === s.name)) {
      if (s.name !== '.reloc') at = Math.max(at, s.rva + (sizes.get(s.name) ?? 0));
    }
  let pads = '';
  for (const [name, place] of wanted) {
    const rva = hex(place);
    if (rva < at)
      fail(`${image.file}: section ${name} cannot lie at ${place}, what is before it ends at ${at.toString(16)}`);
    if (rva > at) pads += `.section ${name.slice(0, -1)}a,"bw"\n.zero 0x${(rva - at).toString(16)}\n`;
    at = rva + (sizes.get(name) ?? 0);
  }
  if (pads !== '') {
    writeFileSync(join(WORK, out('pads.s')), pads);
    compile(set, out('pads.s'), {}, out('pads.obj'));
    tool('link', args([...image.objects, out('pads.obj')]));
  }
  for (const s of sectionsOf(join(WORK, image.file))) {
    const place = image.sections[s.name];
    if (place !== undefined && hex(place) !== s.rva)
      fail(`${image.file}: section ${s.name} lies at ${s.rva.toString(16)}, not at ${place}`);
  }
}

/** Assembly that lays the functions of a kernel out: runs of neighbours share a section. */
function kernelLayout(functions, build) {
  const GAP = 0x5000;
  const placed = Object.entries(build.places).map(([name, rva]) => [name, hex(rva)]);
  placed.sort((a, b) => a[1] - b[1]);
  const runs = [];
  for (const [name, rva] of placed) {
    const run = runs.at(-1);
    if (run !== undefined && rva - run.last < GAP) {
      run.items.push([name, rva]);
      run.last = rva;
    } else runs.push({ start: rva & ~0xfff, last: rva, items: [[name, rva]] });
  }
  const rest = functions.filter((name) => build.places[name] === undefined);
  const sections = {};
  let text = '.include "frame.inc"\n.include "nt-functions.s"\n.include "nt-data.s"\n';
  const names = [];
  const section = (start) => {
    const name = `T${String(names.length).padStart(2, '0')}b`;
    names.push(name);
    sections[name] = start.toString(16);
    text += `.section ${name},"xr"\n`;
  };
  const restRun = { start: hex(build.rest), rest };
  for (const run of [...runs, restRun].sort((a, b) => a.start - b.start)) {
    section(run.start);
    if (run.rest !== undefined) for (const name of run.rest) text += `.p2align 4, 0xcc\nfn_${name}\n`;
    else for (const [name, rva] of run.items) text += `.org 0x${(rva - run.start).toString(16)}, 0xcc\nfn_${name}\n`;
  }
  // The image ends beyond the last variable of the build.
  text += '.section T99b,"dw"\n.quad 0\n';
  sections['T99b'] = build.end;
  return { text, sections };
}

function buildKernel(set, folder, name) {
  const builds = JSON.parse(readFileSync(join(folder, 'src/nt-builds.json'), 'utf8'));
  const build = builds[name];
  const source = readFileSync(join(folder, 'src/nt-functions.s'), 'utf8');
  const functions = [...source.matchAll(/^\.macro fn_(\w+)/gm)].map((match) => match[1]);
  const { text, sections } = kernelLayout(functions, build);
  writeFileSync(join(WORK, 'nt.s'), text);
  compile(set, 'nt.s', build.symbols, 'nt.obj');
  const image = {
    name: 'nt',
    file: 'ntoskrnl.exe',
    pdb: 'ntkrnlmp.pdb',
    base: build.base,
    entry: 'KiSystemStartup',
    sections,
    objects: ['nt.obj'],
    exports: set.kernelExports,
  };
  link(set, image);
  return image;
}

function importLibrary(set) {
  writeFileSync(join(WORK, 'nt.def'), `LIBRARY ntoskrnl.exe\nEXPORTS\n${set.kernelExports.join('\n')}\n`);
  tool('dlltool', ['-m', machines[set.machine].dlltool, '-d', 'nt.def', '-l', 'ntimport.lib']);
}

function buildDriver(set, name, spec) {
  compile(set, spec.source, spec.symbols ?? {}, `${name}.obj`);
  const image = {
    ...spec,
    name,
    file: `${name}.sys`,
    pdb: `${name}.pdb`,
    objects: [`${name}.obj`],
    libraries: ['ntimport.lib'],
  };
  link(set, image);
  return image;
}

function writeSet(images, to, version) {
  mkdirSync(to, { recursive: true });
  const files = {};
  for (const image of images) {
    copyFileSync(join(WORK, image.file), join(to, image.file));
    copyFileSync(join(WORK, image.pdb), join(to, image.pdb));
    const symbols = symbolsOf(join(WORK, `${image.name}.map`), BigInt(`0x${image.base}`));
    files[image.file] = {
      sha256: createHash('sha256')
        .update(readFileSync(join(to, image.file)))
        .digest('hex'),
      pdb: image.pdb,
      pdbSha256: createHash('sha256')
        .update(readFileSync(join(to, image.pdb)))
        .digest('hex'),
      symbols: Object.fromEntries([...symbols].sort((a, b) => hex(a[1]) - hex(b[1]))),
    };
  }
  const manifest = { tools: `clang ${version}`, files };
  writeFileSync(join(to, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Builds every set below a folder of images into `to` (the folder itself when absent). Returns the names of the sets. */
export function buildFolder(folder, to = folder) {
  const version = toolVersion();
  if (version === null) fail(`${tools.clang} and ${tools.link} are needed to build images`);
  const all = JSON.parse(readFileSync(join(folder, 'src/images.json'), 'utf8'));
  for (const [name, spec] of Object.entries(all.sets)) {
    rmSync(WORK, { recursive: true, force: true });
    mkdirSync(WORK, { recursive: true });
    for (const file of readdirSync(join(folder, 'src'))) copyFileSync(join(folder, 'src', file), join(WORK, file));
    const set = { machine: all.machine, kernelExports: all.kernelExports };
    importLibrary(set);
    const images = [buildKernel(set, folder, spec.kernel)];
    for (const image of spec.images) images.push(buildDriver(set, image, all.images[image]));
    writeSet(images, join(to, name), version);
  }
  rmSync(WORK, { recursive: true, force: true });
  return Object.keys(all.sets);
}

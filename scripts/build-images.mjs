// Builds the forge's images and PDBs from their sources: packages/forge/images/<set>/src/set.json says how.
//   node scripts/build-images.mjs [SET ...] [--out DIR]      (sets with an images.json: build-images-x64.mjs does the work)
// The same sources give the same bytes (/Brepro, relative names, a fixed file name order); outputs are committed beside them.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildFolder } from './build-images-x64.mjs';
import { fail, root } from './run.mjs';

const images = join(root, 'packages/forge/images');
const wanted = [];
let out = null;
for (let i = 2; i < process.argv.length; i++) {
  if (process.argv[i] === '--out') out = process.argv[++i];
  else wanted.push(process.argv[i]);
}
const sets = wanted.length > 0 ? wanted : readdirSync(images).filter((name) => existsSync(join(images, name, 'src')));

function tool(cwd, command, args) {
  const result = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (result.error) fail(`${command}: ${result.error.message}`);
  if (result.status !== 0) fail(`${command} ${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

/** `@F@8` and `_F@8` are called F. */
function plain(name) {
  return name.replace(/^[@_]/, '').replace(/@\d+$/, '');
}

function buildSet(name) {
  const source = join(images, name, 'src');
  const set = JSON.parse(readFileSync(join(source, 'set.json'), 'utf8'));
  const x86 = set.target.startsWith('i686');
  const machine = x86 ? 'x86' : set.target.startsWith('x86_64') ? 'x64' : 'arm64';
  // One fixed place: the PDB records the linker's directory and arguments, and the image the PDB's GUID.
  const work = '/tmp/dumpscope-images-86';
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  try {
    for (const file of readdirSync(source)) copyFileSync(join(source, file), join(work, file));
    const target = out === null ? join(images, name) : join(out, name);
    mkdirSync(target, { recursive: true });
    const manifest = { about: `Built by scripts/build-images.mjs from src/ with clang and lld 19.`, files: {} };
    for (const image of set.images) {
      const stem = image.file.replace(/\W/g, '_');
      const objects = [];
      for (const [index, file] of [image.source].flat().entries()) {
        const object = `${stem}_${index}.obj`;
        const flags = file.endsWith('.c')
          ? (set.cflags ?? [])
          : (image.defines ?? []).map((define) => `-Wa,--defsym,${define}=1`);
        tool(work, 'clang-19', [`--target=${set.target}`, ...flags, '-c', file, '-o', object]);
        objects.push(object);
      }
      const libraries = [];
      for (const [dll, names] of Object.entries(image.imports ?? {})) {
        const library = `${stem}_${dll.replace(/\W/g, '_')}.lib`;
        const listed = x86 ? names.map((symbol) => symbol.replace(/^_/, '')) : names;
        writeFileSync(
          join(work, 'import.def'),
          `LIBRARY "${image.importedAs?.[dll] ?? dll}"\nEXPORTS\n${listed.map((symbol) => `  ${symbol}\n`).join('')}`,
        );
        tool(work, 'llvm-dlltool-19', [
          '-m',
          x86 ? 'i386' : machine === 'x64' ? 'i386:x86-64' : 'arm64',
          '-k',
          '-d',
          'import.def',
          '-l',
          library,
        ]);
        libraries.push(library);
      }
      writeFileSync(
        join(work, 'exports.def'),
        `EXPORTS\n${Object.entries(image.exports ?? {})
          .map(([exported, symbol]) => `  ${exported}=${symbol}\n`)
          .join('')}`,
      );
      tool(work, 'lld-link-19', [
        ...(image.exports ? ['/dll', '/def:exports.def'] : []),
        `/machine:${machine}`,
        `/base:0x${image.base}`,
        ...image.link,
        `/out:${image.file}`,
        '/debug',
        `/pdb:${image.pdb}`,
        `/pdbaltpath:${image.pdb}`,
        ...(x86 ? ['/safeseh:no'] : []),
        '/nodefaultlib',
        '/opt:noref',
        '/Brepro',
        '/ignore:4254',
        ...objects,
        ...libraries,
      ]);
      const publics = tool(work, 'llvm-pdbutil-19', ['dump', '-publics', '-section-headers', image.pdb]);
      manifest.files[image.file] = { sha256: '', pdb: image.pdb, symbols: symbolMap(publics, x86) };
      for (const file of [image.file, image.pdb]) copyFileSync(join(work, file), join(target, file));
      manifest.files[image.file].sha256 = createHash('sha256')
        .update(readFileSync(join(target, image.file)))
        .digest('hex');
    }
    writeFileSync(join(target, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Undecorated public names by RVA in hex. */
function symbolMap(text, x86) {
  const sections = [...text.matchAll(/SECTION HEADER #(\d+)[\s\S]*?([0-9A-F]+) virtual address/g)].map(([, , rva]) =>
    Number.parseInt(rva, 16),
  );
  const entries = [...text.matchAll(/S_PUB32 .*?`(.*?)`\s*\n\s*flags = .*?, addr = (\d+):(\d+)/g)]
    .map(([, name, section, offset]) => [
      x86 ? plain(name) : name,
      (sections[Number(section) - 1] ?? 0) + Number(offset),
    ])
    .filter(([name]) => !name.startsWith('_imp_') && !name.startsWith('__imp_') && !/^_*(NULL|IMPORT)_/.test(name));
  return Object.fromEntries(
    entries.sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1)).map(([name, rva]) => [name, rva.toString(16)]),
  );
}

for (const name of sets) {
  if (existsSync(join(images, name, 'src/images.json')))
    buildFolder(join(images, name), out === null ? join(images, name) : join(out, name));
  else buildSet(name);
}

// The arrows of docs/architecture.md: no package imports to its right, and the pure layers know neither Node nor DOM.
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { fail, root } from './run.mjs';

const allowed = {
  core: [],
  symbols: ['core'],
  cpu: ['core'],
  debugger: ['core', 'symbols', 'cpu'],
  diagnose: ['core', 'symbols', 'cpu', 'debugger'],
  forge: ['core', 'symbols'],
  node: ['core', 'symbols'],
  cli: ['core', 'symbols', 'cpu', 'debugger', 'diagnose', 'forge', 'node'],
};
const pure = new Set(['core', 'symbols', 'cpu', 'debugger', 'diagnose', 'forge']);
// Third-party code that the pure layers may use; each is free of Node and DOM itself or made so by a generated copy.
const libraries = { symbols: ['fflate'], cpu: ['fflate'], node: ['xz-decompress'], cli: ['commander'] };
const nodeModules = new Set([...builtinModules, ...builtinModules.map((name) => `node:${name}`)]);

// Statements only: `import 'x'`, `import … from 'x'`, `export … from 'x'`, and `import('x')`.
const importPattern =
  /(?:^\s*import\s*|^\s*(?:import|export)\b[^'"`;=()]*?\bfrom\s*|\bimport\s*\(\s*)['"]([^'"\n]+)['"]/gm;

const complaints = [];
for (const [name, left] of Object.entries(allowed)) {
  const source = join(root, 'packages', name, 'src');
  const files = readdirSync(source, { recursive: true }).filter(
    (file) => /\.(ts|js)$/.test(file) && !/\.test\.ts$/.test(file),
  );
  for (const file of files) {
    const where = `packages/${name}/src/${file}`;
    const text = readFileSync(join(source, file), 'utf8');
    for (const [, specifier] of text.matchAll(importPattern)) {
      if (specifier.startsWith('.')) {
        if (/(^|\/)\.\.\/\.\.\/\.\.\//.test(specifier) && specifier.includes('packages/'))
          complaints.push(`${where}: reaches into another package: ${specifier}`);
        continue;
      }
      const ours = /^@dumpscope\/([a-z]+)(\/.*)?$/.exec(specifier);
      if (ours) {
        if (ours[2]) complaints.push(`${where}: imports an inner file: ${specifier}`);
        if (!left.includes(ours[1])) complaints.push(`${where}: ${name} must not import ${ours[1]}`);
        continue;
      }
      if (pure.has(name) && nodeModules.has(specifier)) complaints.push(`${where}: a pure layer imports ${specifier}`);
      else if (
        !nodeModules.has(specifier) &&
        !(libraries[name] ?? []).some((library) => specifier === library || specifier.startsWith(`${library}/`))
      ) {
        complaints.push(`${where}: ${specifier} is not among the libraries of ${name}`);
      }
    }
    if (pure.has(name) && !file.includes('.gen.')) {
      // Globals of Node or DOM that "types": [] does not catch in generated or declared-ambient code.
      for (const [, global] of text.matchAll(
        /\b(process\.(?:env|argv|exit|stdout|stderr)|globalThis\.(?:process|Buffer|window|document)|Buffer\.(?:from|alloc|read))/g,
      )) {
        complaints.push(`${where}: a pure layer uses ${global}`);
      }
    }
  }
}
if (complaints.length > 0) fail(complaints.join('\n'));
process.stdout.write(`layers: ${Object.keys(allowed).length} packages, every import points left\n`);

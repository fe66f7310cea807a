// Type-checks every workspace and bundles the published package: packages/dumpscope/dist.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { bin, installPackages, root, run } from './run.mjs';

installPackages();
if (!process.argv.includes('--no-check')) run(bin('tsc'), ['-b']);

const { build } = await import('esbuild');
const dist = join(root, 'packages/dumpscope/dist');
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });

const common = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  target: 'node20',
  conditions: ['source'],
  legalComments: 'none',
  logLevel: 'warning',
  define: {
    DUMPSCOPE_VERSION: JSON.stringify(
      JSON.parse(readFileSync(join(root, 'packages/dumpscope/package.json'), 'utf8')).version,
    ),
  },
};

// xz-decompress is CommonJS and asks for Node's own modules.
const requireBanner = "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);";

// The command line: split, so that a verdict does not pay for the code of other commands.
await build({
  ...common,
  entryPoints: { cli: 'packages/cli/src/bin.ts' },
  outdir: 'packages/dumpscope/dist',
  platform: 'node',
  splitting: true,
  // Names are not kept: giving every function its name back costs a tenth of a verdict's time.
  minify: true,
  chunkNames: 'chunks/[name]-[hash]',
  banner: { js: requireBanner },
});

// The library: the pure layers for Node and browsers alike, and Node's file source and symbol provider on top.
const pure = ['core', 'symbols', 'cpu', 'debugger', 'diagnose', 'forge'];
const library = (packages) => packages.map((name) => `export * from '@dumpscope/${name}';`).join('\n');
for (const [name, packages, platform] of [
  ['browser', pure, 'browser'],
  ['index', [...pure, 'node'], 'node'],
]) {
  await build({
    ...common,
    stdin: {
      contents: library(packages),
      resolveDir: join(root, 'packages/cli'),
      sourcefile: `${name}.ts`,
      loader: 'ts',
    },
    outfile: `packages/dumpscope/dist/${name}.js`,
    platform,
    minify: true,
    keepNames: true,
    ...(platform === 'browser' ? { target: 'es2023' } : { banner: { js: requireBanner } }),
  });
}
copyTypes([...pure, 'node']);

// Scenarios and images that `dumpscope forge` offers.
for (const folder of ['scenarios', 'images']) {
  const from = join(root, 'packages/forge', folder);
  if (existsSync(from))
    cpSync(from, join(dist, 'forge', folder), {
      recursive: true,
      filter: (path) => !/[\\/]src([\\/]|$)/.test(path.slice(from.length)),
    });
}
for (const file of ['LICENSE', 'NOTICE']) {
  if (existsSync(join(root, file))) cpSync(join(root, file), join(root, 'packages/dumpscope', file));
}

/** Declarations of the private workspaces, their `@dumpscope/x` imports made relative. */
function copyTypes(packages) {
  const types = join(dist, 'types');
  for (const name of packages) {
    const from = join(root, 'packages', name, 'dist');
    if (!existsSync(from)) continue;
    for (const file of readdirSync(from, { recursive: true })) {
      if (!file.endsWith('.d.ts')) continue;
      const to = join(types, name, file);
      mkdirSync(dirname(to), { recursive: true });
      const text = readFileSync(join(from, file), 'utf8').replace(
        /(['"])@dumpscope\/([a-z]+)\1/g,
        (_, quote, other) => {
          const path = relative(dirname(to), join(types, other, 'index.js')).replaceAll('\\', '/');
          return quote + (path.startsWith('.') ? path : `./${path}`) + quote;
        },
      );
      writeFileSync(to, text);
    }
  }
  mkdirSync(types, { recursive: true });
  writeFileSync(join(types, 'index.d.ts'), packages.map((name) => `export * from './${name}/index.js';`).join('\n'));
  writeFileSync(join(types, 'browser.d.ts'), pure.map((name) => `export * from './${name}/index.js';`).join('\n'));
}

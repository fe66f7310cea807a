/**
 * Every decorated C++ name of the PDBs at hand against llvm-undname-19. Its output has parameters and type keywords,
 * which WinDbg does not print; of names with an enclosing function it prints the whole signature. Compared is what
 * remains: our text must be a prefix of its, up to the parameter list.
 */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { undecorateSymbol } from '../src/undecorate.ts';
import { builtPdbs } from './pdb-build.ts';
import { hasTool } from './pdb-llvm.ts';
import { nodePtyFiles, openFile, sharedFiles } from './pdb-paths.ts';

const UNDNAME = 'llvm-undname-19';
const hasLlvm = hasTool(UNDNAME);
if (!hasLlvm) console.log(`SKIPPED: ${UNDNAME} is not installed; undecorated names are not compared`);

function llvmNames(names: readonly string[]): Map<string, string> {
  const flags = ['access-specifier', 'calling-convention', 'return-type', 'member-type', 'variable-type'];
  const text = execFileSync(
    UNDNAME,
    flags.map((flag) => `--no-${flag}`),
    {
      input: `${names.join('\n')}\n`,
      encoding: 'latin1',
      maxBuffer: 1 << 28,
      stdio: ['pipe', 'pipe', 'ignore'],
    },
  );
  const out = new Map<string, string>();
  for (const block of text.split('\n\n')) {
    const [name, shown] = block.replace(/^\n+/, '').split('\n');
    if (name !== undefined && shown !== undefined) out.set(name, shown);
  }
  return out;
}

function normal(text: string): string {
  return text
    .replace(/\b(class|struct|union|enum) /g, '')
    .replace(/^\[thunk\]: /, '')
    .replace(/^const (?=.*`(vftable|vbtable|RTTI))/, '')
    .replace(/dtor('| iter)/g, 'destructor$1')
    .replace(/ctor('| iter)/g, 'constructor$1')
    .replace(/[ "]/g, '')
    .replaceAll('[0]', '[]');
}

/** Not comparable: string literals, RTTI type descriptors, local scopes, function types and conversions in templates. */
function isComparable(name: string, theirs: string): boolean {
  return !/^\?\?(_C|_R0|\$\?B)|\$\$A|\$4/.test(name) && !/'::`\d+'/.test(theirs);
}

describe.skipIf(!hasLlvm)('undecorated names', () => {
  const names = new Set<string>();
  for (const path of [...sharedFiles(/\.pdb$/), ...nodePtyFiles(/\.pdb$/), ...builtPdbs()]) {
    for (const record of openFile(path).publicRecords?.records() ?? []) {
      if (record.name.startsWith('?')) names.add(record.name);
    }
  }

  it('agree with llvm-undname', () => {
    const theirs = llvmNames([...names]);
    const different: string[] = [];
    let compared = 0;
    for (const [name, shown] of theirs) {
      const ours = undecorateSymbol(name, 0x8664);
      if (ours === name) different.push(`${name}: not undecorated, llvm: ${shown}`);
      if (!isComparable(name, shown)) continue;
      compared++;
      const a = normal(ours);
      const b = normal(shown);
      if (!b.startsWith(a) || (b.length > a.length && !'({'.includes(b.charAt(a.length)))) {
        different.push(`${name}: ${ours} / ${shown}`);
      }
    }
    expect(different.slice(0, 20)).toEqual([]);
    expect(names.size === 0 || compared > names.size / 4).toBe(true);
  });
});

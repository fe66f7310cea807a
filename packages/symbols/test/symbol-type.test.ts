/** Function types that procedure records name, compared with LF_PROCEDURE and LF_MFUNCTION of llvm-pdbutil-19. */
import { describe, expect, it } from 'vitest';
import { builtPdbs } from './pdb-build.ts';
import { hasTool, LLVM_PDBUTIL, llvmTypes } from './pdb-llvm.ts';
import { nodePtyFiles, openFile, sharedFiles } from './pdb-paths.ts';

const CONVENTIONS: Readonly<Record<string, string>> = {
  cdecl: 'cdecl',
  stdcall: 'stdcall',
  fastcall: 'fastcall',
  thiscall: 'thiscall',
  clrcall: 'clrcall',
  vectorcall: 'vectorcall',
};

describe.skipIf(!hasTool(LLVM_PDBUTIL))('types of functions and variables', () => {
  for (const path of [...sharedFiles(/\.pdb$/), ...nodePtyFiles(/\.pdb$/), ...builtPdbs()]) {
    it(path.slice(path.lastIndexOf('/') + 1), () => {
      const pdb = openFile(path);
      const types = llvmTypes(path);
      let compared = 0;
      for (const procedure of pdb.procedures?.all().records ?? []) {
        if (procedure.type === 0 || procedure.isItemId) continue;
        const rva = pdb.addresses?.rva(procedure.section, procedure.offset) ?? -1;
        // Of several records at one address (folded functions) the table answers for one.
        const hit = rva < 0 ? undefined : pdb.procedures?.find(pdb.addresses?.toSource(rva) ?? -1);
        if (hit?.procedure.record !== procedure.record || hit.procedure.module !== procedure.module) continue;
        const own = pdb.debugInfo().symbolType?.({
          name: procedure.name,
          display: procedure.name,
          rva: rva as never,
          isFunction: true,
          size: null,
        });
        const text = types.get(procedure.type)?.text.join(' ') ?? '';
        const count = /# args = (\d+)/.exec(text)?.[1];
        if (count === undefined) continue;
        if (own?.kind !== 'function') throw new Error(`${procedure.name}: no function type`);
        // llvm counts the `...` as an argument.
        expect(own.parameters.length + (own.isVariadic ? 1 : 0), procedure.name).toBe(Number(count));
        const convention = /calling conv = (\w+)/.exec(text)?.[1] ?? '';
        if (convention in CONVENTIONS) expect(own.convention, procedure.name).toBe(CONVENTIONS[convention]);
        compared++;
      }
      let data = 0;
      for (const record of pdb.globals?.all() ?? []) {
        if (record.kind !== 'data' || record.type === 0) continue;
        const rva = pdb.addresses?.rva(record.section, record.offset) ?? -1;
        const symbol = rva < 0 ? undefined : pdb.symbols.byName(record.name);
        if (symbol?.rva !== rva || symbol.isFunction !== false) continue;
        const own = pdb.debugInfo().symbolType?.(symbol);
        expect(own?.kind, record.name).toBe('data');
        data++;
      }
      // Every PDB with private symbols has some of both.
      if (pdb.symbols.origin === 'pdb-private' && types.size > 50) expect(compared + data).toBeGreaterThan(0);
    });
  }
});

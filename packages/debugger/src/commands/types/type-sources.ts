import type { TypeTable } from '@dumpscope/symbols';
import type { Session } from '../command.ts';
import { withMembers } from '../session/with-members.ts';

/** The first table that knows a name answers. */
function chained(tables: readonly TypeTable[]): TypeTable {
  const [first] = tables as [TypeTable, ...TypeTable[]];
  const look = <T>(read: (table: TypeTable) => T | undefined): T | undefined => {
    for (const table of tables) {
      const found = read(table);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return {
    pointerSize: first.pointerSize,
    origin: first.origin,
    struct: (name) => look((table) => table.struct(name)),
    enumeration: (name) => look((table) => table.enumeration(name)),
    *enumNames() {
      for (const table of tables) yield* table.enumNames?.() ?? [];
    },
    *structNames() {
      for (const table of tables) yield* table.structNames();
    },
  };
}

/**
 * The session as seen by an expression that names types of a driver (`MyDriver!_DEVICE_EXTENSION`): that module's PDB
 * first, then the kernel's layouts. The same session where it names none, or the PDB is not at hand.
 */
export function withTypesOf(session: Session, text: string): Session {
  const { target } = session;
  const tables: TypeTable[] = [];
  for (const [, name] of text.matchAll(/([A-Za-z_]\w*)!/g)) {
    const lower = (name as string).toLowerCase();
    const module = target.modules.find((m) => m.name.toLowerCase() === lower);
    const types = module === undefined || module === target.kernel ? null : (module.pdbTypes ?? null);
    if (types !== null && types.pointerSize === target.pointerSize && !tables.includes(types)) tables.push(types);
  }
  if (tables.length === 0) return session;
  const table = chained([...tables, target.layouts.table]);
  return { ...session, target: withMembers(target, { layouts: { ...target.layouts, table } }) };
}

/**
 * Types of the module that a name begins with: `undefined` for a module that is not loaded or whose PDB has none, so
 * that the kernel's types never pass for a driver's.
 */
export function moduleTypes(session: Session, module: string): TypeTable | undefined {
  const { kernel, modules, layouts } = session.target;
  const lower = module.toLowerCase();
  if (lower === '' || lower === kernel?.name.toLowerCase() || lower === 'nt') return layouts.table;
  return modules.find((m) => m.name.toLowerCase() === lower)?.pdbTypes ?? undefined;
}

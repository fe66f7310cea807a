import { va } from '@dumpscope/core';
import type { TypedVariable } from '../../expressions/scope.ts';
import type { Session } from '../command.ts';
import { localVariables, type VariableValue } from '../stack/local-variables.ts';
import { shownFrames } from '../stack/stack-format.ts';
import { withTypesOf } from '../types/type-sources.ts';
import { nameIn } from './names.ts';
import { currentRegisters } from './session.ts';

export interface SessionVariables {
  /** Of the frame that `.frame` chose; undefined for names with a module. */
  local(name: string): TypedVariable | undefined;
  /** `module!name`, or a name of the kernel. */
  global(name: string): TypedVariable | undefined;
}

/** Variables that private symbols tell of. The stack is walked when the first local name is asked for. */
export function sessionVariables(session: Session): SessionVariables {
  let locals: Map<string, TypedVariable> | undefined;
  return {
    local(name) {
      if (!/^[A-Za-z_$?][\w$]*$/.test(name)) return undefined;
      locals ??= frameLocals(session);
      return locals.get(name);
    },
    global: (name) => globalVariable(session, name),
  };
}

/** Variables of the frame that `.frame` chose, and the session that knows their types; null without private symbols. */
export function currentVariables(
  own: Session,
): { readonly session: Session; readonly variables: readonly VariableValue[] } | null {
  const start = currentRegisters(own);
  if (start === null) return null;
  // Without private symbols where the walk begins there is nothing to look for in frame 0.
  if (own.frame === 0 && nameIn(own, start.pc).module?.debugInfo?.locals === undefined) return null;
  const shown = shownFrames(own, own.target.walkStack(start, { limit: own.frame + 1 }))[own.frame];
  if (shown === undefined) return null;
  const { module } = nameIn(own, shown.frame.pc);
  const session = module === null ? own : withTypesOf(own, `${module.name}!x`);
  return { session, variables: localVariables(session, shown.frame) };
}

function frameLocals(session: Session): Map<string, TypedVariable> {
  const out = new Map<string, TypedVariable>();
  for (const { name, type, address, register } of currentVariables(session)?.variables ?? []) {
    if (type !== null && !out.has(name)) out.set(name, { type, address, value: register });
  }
  return out;
}

function globalVariable(session: Session, name: string): TypedVariable | undefined {
  const { modules, kernel } = session.target;
  const bang = name.indexOf('!');
  const wanted = bang < 0 ? null : name.slice(0, bang).toLowerCase();
  const module = wanted === null ? kernel : modules.find((m) => m.name.toLowerCase() === wanted);
  const info = module?.debugInfo;
  const symbol = info?.symbols.byName(name.slice(bang + 1));
  if (module == null || symbol === undefined) return undefined;
  const type = info?.symbolType?.(symbol);
  if (type?.kind !== 'data') return undefined;
  return { type: type.type, address: va(module.base + BigInt(symbol.rva)), value: null };
}

/**
 * The session as an expression sees types: those of the modules that it names, and where it names a local variable
 * those of the frame's module; then the kernel's.
 */
export function withExpressionTypes(session: Session, text: string): Session {
  const named = withTypesOf(session, text);
  if (named !== session) return named;
  const shown = currentVariables(session);
  if (shown === null) return session;
  const words = new Set(text.match(/[A-Za-z_$][\w$]*/g) ?? []);
  return shown.variables.some((variable) => words.has(variable.name)) ? shown.session : session;
}

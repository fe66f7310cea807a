import type { Session } from '../command.ts';
import { nameIn } from './names.ts';

export interface Source {
  readonly file: string | null;
  readonly line: number | null;
}

/** Source line of a code address by the private PDB of its module; null without one and after `.lines -d`. */
export function sourceAt(
  session: Session,
  address: bigint,
  process?: bigint | null,
): { readonly file: string; readonly line: number } | null {
  if (!session.lines) return null;
  const { module } = nameIn(session, address, process);
  return module?.debugInfo?.line(Number(address - module.base)) ?? null;
}

/** ` [file @ line] `, the blank behind it included. */
export function sourceText(source: Source | null): string {
  return source === null || source.file === null || source.line === null ? '' : ` [${source.file} @ ${source.line}] `;
}

/** `nt!Foo+0x10 [file @ line]:` over lines of code. */
export function codeHeader(session: Session, symbol: string, address: bigint): string {
  return `${symbol}${sourceText(sourceAt(session, address)).trimEnd()}:`;
}

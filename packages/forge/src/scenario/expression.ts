import { ForgeError } from '../memory/address-space.ts';
import type { Value } from './scenario.ts';

/** What an expression may refer to. Every function throws {@link ForgeError} for a name it does not know. */
export interface Names {
  /** Base address of a module. */
  module(name: string): bigint | undefined;
  symbol(module: string, name: string): bigint;
  /** `thread(x)`, `process(x)`, `prcb(0)`, `kpcr(0)`, `idle(0)`, `object(x)`; `path` is what follows the dot. */
  reference(kind: string, name: string, path: string): bigint;
  /** Moves an address of the scenario as written to where `relocate` puts it. */
  moved(address: bigint): bigint;
}

const HEX = /^(?:0x)?[0-9a-f`]+$/i;
const REFERENCE = /^([a-z]+)\(([^()]*)\)((?:\.[\w$[\]]+)*)$/i;

function splitTerms(text: string): { sign: 1 | -1; term: string }[] {
  const out: { sign: 1 | -1; term: string }[] = [];
  let depth = 0;
  let sign: 1 | -1 = 1;
  let start = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (c === '(') depth += 1;
    if (c === ')') depth -= 1;
    if (i === text.length || (depth === 0 && (c === '+' || c === '-') && i > 0)) {
      out.push({ sign, term: text.slice(start, i).trim() });
      sign = c === '-' ? -1 : 1;
      start = i + 1;
    }
  }
  return out;
}

function term(text: string, names: Names, first: boolean): bigint {
  const reference = REFERENCE.exec(text);
  if (reference !== null) {
    return names.reference(reference[1] ?? '', (reference[2] ?? '').trim(), (reference[3] ?? '').slice(1));
  }
  const bang = text.indexOf('!');
  if (bang > 0) return names.symbol(text.slice(0, bang), text.slice(bang + 1));
  if (HEX.test(text)) {
    const literal = BigInt(`0x${text.replace(/^0x/i, '').replace(/`/g, '')}`);
    return first ? names.moved(literal) : literal;
  }
  const base = names.module(text);
  if (base !== undefined) return base;
  throw new ForgeError(`"${text}" is neither a hex number nor a known name`);
}

/**
 * Evaluates a scenario value. A number is itself; a string is terms joined by `+` and `-`, each a hex number (backticks
 * allowed), `module!symbol`, a reference such as `thread(spin).Tcb.WaitListEntry`, or a module's name (its base).
 */
export function evaluate(value: Value, names: Names, where: string): bigint {
  if (typeof value === 'number') return BigInt(value);
  try {
    let total = 0n;
    const text = value.trim();
    const negative = text.startsWith('-');
    splitTerms(negative ? text.slice(1) : text).forEach(({ sign, term: part }, index) => {
      const amount = term(part, names, index === 0 && !negative);
      total += (index === 0 && negative) || sign < 0 ? -amount : amount;
    });
    return BigInt.asUintN(64, total);
  } catch (error) {
    if (error instanceof ForgeError) throw new ForgeError(`${where}: ${error.message}`);
    throw new ForgeError(`${where}: "${value}" is not an expression`);
  }
}

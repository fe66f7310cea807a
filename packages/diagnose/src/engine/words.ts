/** Formats shared by claims, summaries and the text report. */
import { hex } from '@dumpscope/core';
import type { Target } from '@dumpscope/debugger';

/** Address as WinDbg's engine prints it: 8 digits, or 8+backtick+8. */
export function address(target: Pick<Target, 'pointerSize'>, value: bigint): string {
  if (target.pointerSize === 4) return value.toString(16).padStart(8, '0');
  const digits = value.toString(16).padStart(16, '0');
  return `${digits.slice(0, 8)}\`${digits.slice(8)}`;
}

/** Address as an argument of a command: no backtick, so that it can be pasted anywhere. */
export function argument(target: Pick<Target, 'pointerSize'>, value: bigint): string {
  return value.toString(16).padStart(target.pointerSize * 2, '0');
}

/** JSON form, `0x…`; null stays null. */
export function json(value: bigint | null | undefined): string | null {
  return value === null || value === undefined ? null : hex(value);
}

/** `10:37.406`, `1:02:03.004`, `0.015`: seconds in clock form, truncated to milliseconds like WinDbg's. */
export function clock(seconds: number): string {
  const total = Math.floor(seconds * 1000 + 1e-6);
  const ms = (total % 1000).toString().padStart(3, '0');
  const s = Math.floor(total / 1000) % 60;
  const m = Math.floor(total / 60_000) % 60;
  const h = Math.floor(total / 3_600_000);
  if (h > 0) return `${h}:${m.toString().padStart(2, '0')}:${s.toString().padStart(2, '0')}.${ms}`;
  if (m > 0) return `${m}:${s.toString().padStart(2, '0')}.${ms}`;
  return `${s}.${ms} s`;
}

/** `40,794`. */
export function count(value: number | bigint): string {
  return value.toString().replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Joins clauses with commas and a last `and`. */
export function list(items: readonly string[]): string {
  if (items.length <= 1) return items.join('');
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

const levels: Readonly<Record<number, string>> = { 0: 'PASSIVE_LEVEL', 1: 'APC_LEVEL', 2: 'DISPATCH_LEVEL' };

/** `2 (DISPATCH_LEVEL)`; levels above 2 depend on the architecture and stay numbers. */
export function irqlName(level: number): string {
  const name = levels[level];
  return name === undefined ? String(level) : `${level} (${name})`;
}

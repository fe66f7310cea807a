import type { DumpHeader } from '@dumpscope/core';
import type { Bugcheck } from '../target/model.ts';
import { type BugcheckRow, bugcheckRows } from './bugcheck-names.ts';

let index: ReadonlyMap<number, BugcheckRow> | undefined;

/** The row of a code; a code with the `_M` bit (0x10000000: the dump is of a small kind) is looked up without it. */
export function bugcheckRow(code: number): BugcheckRow | undefined {
  index ??= new Map(bugcheckRows.map((row) => [row[0], row]));
  return index.get(code);
}

const M_BIT = 0x10000000;

/**
 * Without the `_M` bit. Codes with a severity in their top bits (c000021a) are status values, where bit 28 is the
 * customer's, and stay as they are.
 */
export function baseBugcheckCode(code: number): number {
  return code >>> 28 === 1 ? (code & ~M_BIT) >>> 0 : code;
}

const fill = 0x45474150n; // 'PAGE'
/** Four characters as a tool writes them, in either byte order. */
const toolMarks: readonly (readonly [text: string, value: bigint])[] = ['MATT', 'MOON', 'SOLS'].flatMap((text) => {
  const bytes = [...text].map((c) => BigInt(c.charCodeAt(0)));
  const little = bytes.reduceRight((sum, byte) => (sum << 8n) | byte, 0n);
  const big = bytes.reduce((sum, byte) => (sum << 8n) | byte, 0n);
  return [
    [text, little],
    [text, big],
  ] as const;
});

/** The mark that an acquisition tool left instead of bug check data; null where the data is Windows' own. */
export function acquisitionMark(header: DumpHeader): string | null {
  const words = [BigInt(header.bugCheckCode), ...header.bugCheckParameters].flatMap((value) => [
    value & 0xffffffffn,
    value >> 32n,
  ]);
  const found = new Set<string>();
  for (const word of words) for (const [text, value] of toolMarks) if (word === value) found.add(text);
  return found.size === 0 ? null : [...found].join(' ');
}

export interface BugcheckResult {
  readonly bugcheck: Bugcheck | null;
  /** Why there is none. */
  readonly note: string | null;
}

/** Bug check of the header, or null with the reason where none happened or none was written. */
export function readBugcheck(header: DumpHeader): BugcheckResult {
  const mark = acquisitionMark(header);
  if (mark !== null)
    return {
      bugcheck: null,
      note: `no bug check: the fields hold the mark of an acquisition tool (${mark}), the system was running`,
    };
  const code = header.bugCheckCode;
  const parameters = header.bugCheckParameters;
  if (BigInt(code) === fill)
    return { bugcheck: null, note: 'the bug check fields of the header were not written (PAGE)' };
  if (code === 0 && parameters.every((value) => value === 0n))
    return { bugcheck: null, note: 'the bug check code is 0: no bug check happened' };
  const baseCode = baseBugcheckCode(code);
  const row = bugcheckRow(code) ?? bugcheckRow(baseCode);
  const name = row === undefined ? null : baseCode === code ? row[1] : `${row[1]}_M`;
  const meaning = (i: 2 | 3 | 4 | 5): string | null => {
    const text = row?.[i] ?? '-';
    return text === '-' ? null : text;
  };
  return {
    bugcheck: { code, baseCode, name, parameters, meanings: [meaning(2), meaning(3), meaning(4), meaning(5)] },
    note: null,
  };
}

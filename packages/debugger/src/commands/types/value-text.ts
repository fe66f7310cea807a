import type { Memory } from '@dumpscope/core';
import type { TypeRef } from '@dumpscope/symbols';
import { extractBits } from '../../expressions/cpp-value.ts';
import { targetAddress } from '../../expressions/scope.ts';
import { asciiAt, enumName, unicodeStringAt } from '../../nt/structure.ts';
import type { Session } from '../command.ts';
import { engineAddress } from '../format/address.ts';
import { general } from '../memory/display-format.ts';
import { nameIn } from '../session/names.ts';
import { sessionMemory } from '../session/session.ts';
import { functionResult, sizeOrUndefined, structText } from './type-text.ts';

export const UNREADABLE = '???? ';

function readUnit(memory: Memory, address: bigint, size: number | undefined): bigint | undefined {
  switch (size) {
    case 8:
      return memory.u64(address);
    case 4:
    case 2:
    case 1: {
      const value = size === 4 ? memory.u32(address) : size === 2 ? memory.u16(address) : memory.u8(address);
      return value === undefined ? undefined : BigInt(value);
    }
    default:
      return undefined;
  }
}

function pointerText(session: Session, value: bigint): string {
  return `0x${engineAddress(value, session.target)}`;
}

/** The scalar at an address as a number; undefined for structures and where memory is missing. */
export function scalarAt(session: Session, type: TypeRef, address: bigint): bigint | undefined {
  const { table } = session.target.layouts;
  if (type.kind === 'struct' || type.kind === 'array' || type.kind === 'function') return undefined;
  const unit = readUnit(
    sessionMemory(session),
    targetAddress(address, session.target.pointerSize),
    sizeOrUndefined(type, table),
  );
  if (unit === undefined) return undefined;
  return type.kind === 'bitfield' ? extractBits(type, unit) : unit;
}

/**
 * A field's value as `dt` shows it: unsigned numbers in hex from ten on, signed ones with `0n`, characters with their
 * letter, bit fields with `0y`, pointers with what they point to, known structures in short form.
 */
export function scalarText(session: Session, type: TypeRef, address: bigint): string {
  switch (type.kind) {
    case 'struct':
      return structValue(session, type.name, address) ?? structText(type.name);
    case 'array':
      return arrayText(session, type, address);
    case 'function':
      return '';
  }
  const value = scalarAt(session, type, address);
  if (value === undefined) return type.kind === 'pointer' ? UNREADABLE : '??';
  switch (type.kind) {
    case 'bitfield': {
      const bits = BigInt.asUintN(type.length, value);
      const digits = bits.toString(2).padStart(type.length, '0');
      // WinDbg adds the number from four bits on.
      return type.length <= 3 ? `0y${digits}` : `0y${digits} (${bits === 0n ? '0' : `0x${bits.toString(16)}`})`;
    }
    case 'enum': {
      const signed = BigInt.asIntN(32, value);
      return `${signed} ( ${enumName(session.target, type.name, signed) ?? 'No matching name'} )`;
    }
    case 'pointer':
      return pointerValue(session, type, value);
    case 'base':
      return baseValue(type, value);
  }
}

function baseValue(type: Extract<TypeRef, { kind: 'base' }>, value: bigint): string {
  if (type.form === 'float') {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, value, true);
    return general(type.size === 4 ? view.getFloat32(0, true) : view.getFloat64(0, true), 6);
  }
  if (type.size === 1 && type.form !== 'bool') {
    const c = Number(value);
    const letter = c >= 0x20 && c < 0x7f ? `'${String.fromCharCode(c)}'` : "''";
    if (type.signed) return `${BigInt.asIntN(8, value)} ${letter}`;
    return `${c === 0 ? '0' : `0x${c.toString(16)}`} ${letter}`;
  }
  if (type.signed) return `0n${BigInt.asIntN(type.size * 8, value)}`;
  return value < 10n ? value.toString() : hexText(value);
}

function hexText(value: bigint): string {
  if (value <= 0xffff_ffffn) return `0x${value.toString(16)}`;
  const digits = value.toString(16);
  return `0x${digits.slice(0, -8)}\`${digits.slice(-8)}`;
}

function pointerValue(session: Session, type: Extract<TypeRef, { kind: 'pointer' }>, value: bigint): string {
  if (value === 0n) return '(null) ';
  const text = pointerText(session, value);
  const { to } = type;
  if (to.kind === 'base' && to.form === 'char') {
    const memory = sessionMemory(session);
    if (to.size === 1) {
      const string = asciiAt(memory, value, 64);
      return string === undefined ? `${text}  "--- memory read error at address ${text} ---"` : `${text}  "${string}"`;
    }
    return text;
  }
  if (to.kind === 'base' && to.form === 'void') return `${text} Void`;
  if (to.kind === 'struct') return `${text} ${structText(to.name)}`;
  if (to.kind === 'function') {
    const name = nameIn(session, value);
    const plus = name.displacement === 0 && name.module !== null ? `${name.text}+0` : name.text;
    return `${text}     ${functionResult(to)} ${name.module === null ? '' : plus}`;
  }
  const inner = scalarAt(session, to, value);
  return inner === undefined ? `${text}  -> ????` : `${text}  -> ${scalarText(session, to, value)}`;
}

function arrayText(session: Session, type: Extract<TypeRef, { kind: 'array' }>, address: bigint): string {
  const { of } = type;
  if (of.kind === 'base' && of.form === 'char' && of.size === 1) {
    const text = asciiAt(sessionMemory(session), address, Math.min(type.count, 256));
    return text === undefined ? `[${type.count}] ${UNREADABLE}` : `[${type.count}]  "${text}"`;
  }
  if (type.count === 0) return `[0] ${of.kind === 'struct' ? structText(of.name) : ''}`.trimEnd();
  return `[${type.count}] ${of.kind === 'struct' ? structText(of.name) : scalarText(session, of, address)}`;
}

/** Short form of structures that WinDbg knows: lists, counted strings, large integers. */
export function structValue(session: Session, name: string, address: bigint): string | undefined {
  const short = shortValue(session, name, address);
  return short === undefined ? undefined : `${name} ${short}`;
}

export function shortValue(session: Session, name: string, address: bigint): string | undefined {
  const { target } = session;
  const memory = sessionMemory(session);
  switch (name) {
    case '_LIST_ENTRY': {
      const flink = memory.pointer(address);
      const blink = memory.pointer(address + BigInt(target.pointerSize));
      if (flink === undefined || blink === undefined) return undefined;
      return `[ ${pointerText(session, flink)} - ${pointerText(session, blink)} ]`;
    }
    case '_UNICODE_STRING': {
      const text = unicodeStringAt(target, memory, address, 256);
      return text === undefined ? undefined : `"${text}"`;
    }
    case '_LARGE_INTEGER':
    case '_ULARGE_INTEGER': {
      const value = memory.u64(address);
      return value === undefined ? undefined : hexText(value);
    }
    default:
      return undefined;
  }
}

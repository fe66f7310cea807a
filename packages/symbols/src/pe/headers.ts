import type { Problem } from '@dumpscope/core';
import { PeError } from './errors.ts';
import { type RvaReader, u16, u32 } from './rva-reader.ts';
import { decodeUtf8, findNul } from './text.ts';

export const MACHINE_I386 = 0x14c;
export const MACHINE_AMD64 = 0x8664;
export const MACHINE_ARM64 = 0xaa64;
export const MACHINE_ARMNT = 0x1c4;

export interface DataDirectory {
  readonly rva: number;
  readonly size: number;
}

export interface PeSection {
  readonly name: string;
  readonly virtualAddress: number;
  readonly virtualSize: number;
  readonly rawOffset: number;
  readonly rawSize: number;
  readonly characteristics: number;
}

/** IMAGE_NT_HEADERS of either width. What lay on pages that are missing is null (`sections`) or absent (`directories`). */
export interface PeHeaders {
  /** IMAGE_FILE_HEADER.Machine: 0x14c, 0x8664, 0xaa64, … */
  readonly machine: number;
  readonly is64: boolean;
  readonly timeDateStamp: number;
  readonly characteristics: number;
  readonly imageBase: bigint;
  readonly entryPoint: number;
  readonly sectionAlignment: number;
  readonly fileAlignment: number;
  readonly sizeOfImage: number;
  readonly sizeOfHeaders: number;
  readonly checkSum: number;
  readonly subsystem: number;
  readonly dllCharacteristics: number;
  readonly directories: readonly DataDirectory[];
  readonly sections: readonly PeSection[] | null;
  readonly problems: readonly Problem[];
}

export const SECTION_HEADER_SIZE = 40;

/** One IMAGE_SECTION_HEADER. */
export function readSection(bytes: Uint8Array, at: number): PeSection {
  return {
    name: decodeUtf8(bytes, at, findNul(bytes, at, at + 8)),
    virtualSize: u32(bytes, at + 8),
    virtualAddress: u32(bytes, at + 12),
    rawSize: u32(bytes, at + 16),
    rawOffset: u32(bytes, at + 20),
    characteristics: u32(bytes, at + 36),
  };
}

/**
 * Reads the headers at RVA 0 of `reader`.
 * @throws {PeError} when the DOS or NT header is missing or is none.
 */
export function readHeaders(reader: RvaReader): PeHeaders {
  const dos = reader.bytes(0, 0x40);
  if (dos === undefined) throw new PeError('PE: the first 64 bytes of the image cannot be read');
  if (u16(dos, 0) !== 0x5a4d) throw new PeError('PE: no MZ signature at offset 0');
  const lfanew = u32(dos, 0x3c);
  if (lfanew < 4 || lfanew > 0x10_0000) throw new PeError(`PE: e_lfanew 0x${lfanew.toString(16)} is out of range`);
  const file = reader.bytes(lfanew, 24);
  if (file === undefined) throw new PeError(`PE: the NT header at 0x${lfanew.toString(16)} cannot be read`);
  if (u32(file, 0) !== 0x4550) throw new PeError(`PE: no PE signature at 0x${lfanew.toString(16)}`);
  const machine = u16(file, 4);
  const sectionCount = u16(file, 6);
  const optionalSize = u16(file, 20);
  const optional = readUpTo(reader, lfanew + 24, Math.min(optionalSize, 0x400));
  if (optional.length < 72)
    throw new PeError(`PE: the optional header at 0x${(lfanew + 24).toString(16)} is too short`);
  const magic = u16(optional, 0);
  if (magic !== 0x10b && magic !== 0x20b) {
    throw new PeError(`PE: optional header magic 0x${magic.toString(16)} is neither PE32 nor PE32+`);
  }
  const is64 = magic === 0x20b;
  const problems: Problem[] = [];
  const directoryAt = is64 ? 112 : 96;
  const directories: DataDirectory[] = [];
  if (optional.length >= directoryAt) {
    const declared = u32(optional, directoryAt - 4);
    const count = Math.min(declared, 16, Math.floor((optional.length - directoryAt) / 8));
    for (let i = 0; i < count; i++) {
      directories.push({ rva: u32(optional, directoryAt + i * 8), size: u32(optional, directoryAt + i * 8 + 4) });
    }
  } else {
    problems.push({ id: 'pe-directories-missing', message: 'PE: the data directories cannot be read' });
  }
  const sections = readSections(reader, lfanew + 24 + optionalSize, sectionCount);
  if (sections === null || sections.length < sectionCount) {
    problems.push({ id: 'pe-sections-missing', message: 'PE: the section headers cannot all be read' });
  }
  return {
    machine,
    is64,
    timeDateStamp: u32(file, 8),
    characteristics: u16(file, 22),
    imageBase: is64 ? (BigInt(u32(optional, 28)) << 32n) | BigInt(u32(optional, 24)) : BigInt(u32(optional, 28)),
    entryPoint: u32(optional, 16),
    sectionAlignment: u32(optional, 32),
    fileAlignment: u32(optional, 36),
    sizeOfImage: u32(optional, 56),
    sizeOfHeaders: u32(optional, 60),
    checkSum: u32(optional, 64),
    subsystem: u16(optional, 68),
    dllCharacteristics: u16(optional, 70),
    directories,
    sections,
    problems,
  };
}

function readSections(reader: RvaReader, at: number, count: number): PeSection[] | null {
  const out: PeSection[] = [];
  for (let i = 0; i < count; i++) {
    const bytes = reader.bytes(at + i * SECTION_HEADER_SIZE, SECTION_HEADER_SIZE);
    if (bytes === undefined) return out.length === 0 ? null : out;
    out.push(readSection(bytes, 0));
  }
  return out;
}

/** The leading bytes that are there, in steps of 8. */
function readUpTo(reader: RvaReader, at: number, length: number): Uint8Array {
  const whole = reader.bytes(at, length);
  if (whole !== undefined) return whole;
  const out = new Uint8Array(length);
  let got = 0;
  while (got < length) {
    const piece = reader.bytes(at + got, Math.min(8, length - got));
    if (piece === undefined) break;
    out.set(piece, got);
    got += piece.length;
  }
  return out.subarray(0, got);
}

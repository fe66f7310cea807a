import type { ByteSource } from '@dumpscope/core';
import { PdbError } from '../pdb/errors.ts';
import { PdbFile } from '../pdb/pdb-file.ts';
import { PeError } from '../pe/errors.ts';
import { parsePe } from '../pe/pe.ts';
import type { SymbolRequest } from '../symbol-request.ts';

/** What a file is, by its bytes. */
export type SymbolFileIdentity =
  | {
      readonly kind: 'pdb';
      /** 32 upper-case digits; 8 for a PDB from before GUIDs. */
      readonly guid: string;
      /** The age that an image's RSDS record carries. */
      readonly age: number;
      /** The age of the info stream, which grows with each writing of the PDB. */
      readonly infoAge: number;
      /** Bytes that the file says it has and that are not there: it is cut. */
      readonly missingBytes: number;
    }
  | {
      readonly kind: 'image';
      readonly timeDateStamp: number;
      readonly sizeOfImage: number;
      readonly machine: number;
      readonly missingBytes: number;
    }
  | { readonly kind: 'cab' | 'xz' | 'json' }
  | { readonly kind: 'other'; readonly what: string };

const startsWith = (bytes: Uint8Array, text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (bytes[i] !== text.charCodeAt(i)) return false;
  return true;
};

/** Reads as little of the file as tells what it is. Never throws: a damaged PDB or image is `other`, with the reason. */
export function identifySymbolFile(source: ByteSource): SymbolFileIdentity {
  const head = new Uint8Array(4096);
  const got = source.read(0, head, 0, head.length);
  const bytes = head.subarray(0, got);
  if (got === 0) return { kind: 'other', what: 'an empty file' };
  if (startsWith(bytes, 'Microsoft ')) {
    try {
      const pdb = new PdbFile(source);
      const guid = pdb.guid.replace(/-/g, '').toUpperCase();
      const missingBytes = Math.max(0, pdb.msf.blockCount * pdb.msf.blockSize - source.size);
      return { kind: 'pdb', guid, age: pdb.age, infoAge: pdb.info.age, missingBytes };
    } catch (error) {
      if (!(error instanceof PdbError)) throw error;
      return { kind: 'other', what: error.message };
    }
  }
  if (startsWith(bytes, 'MZ')) return identifyImage(source);
  if (startsWith(bytes, 'MSCF')) return { kind: 'cab' };
  if (startsWith(bytes, '\xfd7zXZ\0')) return { kind: 'xz' };
  if (startsWith(bytes, 'BSJB')) return { kind: 'other', what: 'a portable PDB (.NET), which holds no native symbols' };
  const text = String.fromCharCode(...bytes.subarray(0, 256)).trimStart();
  if (/^(\xef\xbb\xbf)?\s*\{/.test(text)) return { kind: 'json' };
  if (/^<(!doctype|html|\?xml)/i.test(text)) return { kind: 'other', what: 'a web page' };
  return { kind: 'other', what: 'neither PDB nor image' };
}

function identifyImage(source: ByteSource): SymbolFileIdentity {
  try {
    // In the headers, which end before the first section, an RVA is a file offset.
    const { headers } = parsePe((rva, length) => {
      if (length > 0x10_0000) return null;
      const out = new Uint8Array(length);
      return source.read(rva, out, 0, length) === length ? out : null;
    });
    const { timeDateStamp, sizeOfImage, machine } = headers;
    const end = (headers.sections ?? []).reduce(
      (most, s) => Math.max(most, s.rawSize > 0 ? s.rawOffset + s.rawSize : 0),
      0,
    );
    return { kind: 'image', timeDateStamp, sizeOfImage, machine, missingBytes: Math.max(0, end - source.size) };
  } catch (error) {
    if (!(error instanceof PeError)) throw error;
    return { kind: 'other', what: error.message };
  }
}

const hex = (n: number): string => (n >>> 0).toString(16);

/** Null when the file is what was asked for; else one clause that says what it is instead. */
export function mismatch(identity: SymbolFileIdentity, request: SymbolRequest): string | null {
  if (request.kind === 'pdb') {
    if (identity.kind !== 'pdb') return describe(identity);
    const guid = request.guid.replace(/[-{}]/g, '').toUpperCase();
    if (identity.guid !== guid) return `its GUID is ${identity.guid}, not ${guid}`;
    // A PDB that was written again after linking (by a public-symbol filter) has a larger info age.
    if (identity.age !== request.age && identity.infoAge !== request.age) {
      return `its age is ${identity.age}, not ${request.age}`;
    }
    return null;
  }
  if (identity.kind !== 'image') return describe(identity);
  if (identity.timeDateStamp !== request.timeDateStamp >>> 0) {
    return `its timestamp is ${hex(identity.timeDateStamp)}, not ${hex(request.timeDateStamp)}`;
  }
  if (identity.sizeOfImage !== request.sizeOfImage >>> 0) {
    return `its size of image is ${hex(identity.sizeOfImage)}, not ${hex(request.sizeOfImage)}`;
  }
  return null;
}

function describe(identity: SymbolFileIdentity): string {
  switch (identity.kind) {
    case 'pdb':
      return 'it is a PDB';
    case 'image':
      return 'it is an image';
    case 'cab':
      return 'it is a cabinet';
    case 'xz':
      return 'it is an .xz file';
    case 'json':
      return 'it is a JSON text';
    case 'other':
      return identity.what;
  }
}

/**
 * States of an entry whose valid bit is 0 (MMPTE_SOFTWARE, _TRANSITION, _PROTOTYPE). Masks: dumpformat §13 and the
 * bit fields of public PDBs; x64 ones are the same from 7601 (as updated for L1TF) to 22000.
 */

export type SoftwareState =
  | 'absent' // nothing in it
  | 'demand-zero' // only a protection
  | 'paged-out'
  | 'transition' // still in memory, at `page`
  | 'prototype'; // described by another PTE, at protoHi:protoLo, or by a file

/** The decoded fields of the last entry: valid only for the state that `decode` returned. */
export interface SoftwarePte {
  /** Physical address of the page in transition. */
  readonly page: number;
  readonly protoHi: number;
  readonly protoLo: number;
  readonly pageFile: number;
  readonly pageFileOffset: number;
  decode(hi: number, lo: number): SoftwareState;
}

const PROTOTYPE = 0x400;
const TRANSITION = 0x800;
const PROTECTION = 0x3e0;
const HIGH = 0x1_0000_0000;
/** Page-file numbers moved from bits 4:1 to 15:12 with the L1TF work; as seen in 17134 and later. */
const PAGE_FILE_LOW_MOVED = 17134;

abstract class Decoded {
  page = 0;
  protoHi = 0;
  protoLo = 0;
  pageFile = 0;
  pageFileOffset = 0;
}

/** x86 without PAE: 4-byte entries. */
export class SoftwarePte32 extends Decoded implements SoftwarePte {
  decode(_hi: number, lo: number): SoftwareState {
    if (lo === 0) return 'absent';
    if ((lo & PROTOTYPE) !== 0) {
      this.protoHi = 0;
      this.protoLo = (0x80000000 | ((lo >>> 1) & 0x7ffffc00) | ((lo << 1) & 0x3ff)) >>> 0;
      return 'prototype';
    }
    if ((lo & TRANSITION) !== 0) {
      this.page = (lo & 0xfffff000) >>> 0;
      return 'transition';
    }
    this.pageFile = (lo >>> 1) & 0xf;
    this.pageFileOffset = lo >>> 12;
    return this.pageFile === 0 && this.pageFileOffset === 0 ? 'demand-zero' : 'paged-out';
  }
}

/** x86 with PAE. */
export class SoftwarePtePae extends Decoded implements SoftwarePte {
  readonly #build: number;

  constructor(build: number) {
    super();
    this.#build = build;
  }

  decode(hi: number, lo: number): SoftwareState {
    if (lo === 0 && hi === 0) return 'absent';
    if ((lo & PROTOTYPE) !== 0) {
      this.protoHi = 0;
      this.protoLo = hi;
      return 'prototype';
    }
    if ((lo & TRANSITION) !== 0) {
      this.page = (hi & 0x3f) * HIGH + ((lo & 0xfffff000) >>> 0);
      return 'transition';
    }
    this.pageFile = (this.#build >= PAGE_FILE_LOW_MOVED ? lo >>> 12 : lo >>> 1) & 0xf;
    this.pageFileOffset = hi;
    return hi === 0 && (lo & ~PROTECTION) === 0 ? 'demand-zero' : 'paged-out';
  }
}

/** x64, 4 and 5 levels. */
export class SoftwarePteX64 extends Decoded implements SoftwarePte {
  readonly #build: number;

  constructor(build: number) {
    super();
    this.#build = build;
  }

  decode(hi: number, lo: number): SoftwareState {
    if (lo === 0 && hi === 0) return 'absent';
    if ((lo & PROTOTYPE) !== 0) {
      this.protoHi = (0xffff0000 | (hi >>> 16)) >>> 0;
      this.protoLo = ((hi << 16) | (lo >>> 16)) >>> 0;
      return 'prototype';
    }
    // 22621 and later keep a kernel pointer here for pages of mapped files.
    if (this.#build >= 22621 && hi >>> 15 === 0x1ffff && (lo & 0xf) === 0) {
      this.protoHi = hi;
      this.protoLo = lo;
      return 'prototype';
    }
    if ((lo & TRANSITION) !== 0) {
      // PFN in bits 47:12; bit 45 is set by the kernel in entries that are not valid (L1TF) and is no part of it.
      this.page = (hi & 0xdfff) * HIGH + ((lo & 0xfffff000) >>> 0);
      return 'transition';
    }
    const moved = this.#build >= PAGE_FILE_LOW_MOVED;
    this.pageFile = (moved ? lo >>> 12 : lo >>> 1) & 0xf;
    // With SwizzleBit (4) clear the upper half is XORed with InvalidPteMask, 0x2000 where the kernel uses one.
    const swizzled = moved && (lo & 0x10) === 0 && (hi & 0x2000) !== 0;
    this.pageFileOffset = swizzled ? (hi ^ 0x2000) >>> 0 : hi;
    const nothing = this.pageFileOffset === 0 && this.pageFile === 0;
    return nothing ? 'demand-zero' : 'paged-out';
  }
}

/** ARM64: protection in bits 5:1, page file in 9:6, else as x64 (PDB of 18312). */
export class SoftwarePteArm64 extends Decoded implements SoftwarePte {
  decode(hi: number, lo: number): SoftwareState {
    if (lo === 0 && hi === 0) return 'absent';
    if ((lo & PROTOTYPE) !== 0) {
      this.protoHi = (0xffff0000 | (hi >>> 16)) >>> 0;
      this.protoLo = ((hi << 16) | (lo >>> 16)) >>> 0;
      return 'prototype';
    }
    if ((lo & TRANSITION) !== 0) {
      this.page = (hi & 0xffff) * HIGH + ((lo & 0xfffff000) >>> 0);
      return 'transition';
    }
    this.pageFile = (lo >>> 6) & 0xf;
    this.pageFileOffset = hi;
    return this.pageFile === 0 && hi === 0 ? 'demand-zero' : 'paged-out';
  }
}

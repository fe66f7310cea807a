import type { Arch } from '@dumpscope/core';

/** Where the forge puts what a scenario gives no address for. */
export interface RegionBases {
  readonly nonPaged: bigint;
  readonly paged: bigint;
  readonly system: bigint; // processor blocks, stacks: system PTEs
  readonly prototypes: bigint;
  readonly userHeap: bigint;
  readonly userShared: bigint; // KUSER_SHARED_DATA as user mode sees it
  readonly kernelShared: bigint;
  readonly firstKpcr: bigint | null; // fixed address of processor 0's KPCR
  readonly stackSize: number;
  readonly selfMap: number | null; // top-level index of the page tables' self map
}

export function regionsOf(arch: Arch, pae: boolean, build: number): RegionBases {
  if (arch === 'x86') {
    return {
      nonPaged: 0x89a00000n,
      paged: 0xe1800000n,
      system: 0xf8a00000n,
      prototypes: 0xe1700000n,
      userHeap: 0x00150000n,
      userShared: 0x7ffe0000n,
      kernelShared: 0xffdf0000n,
      firstKpcr: build < 9200 ? 0xffdff000n : null,
      stackSize: 0x3000,
      selfMap: pae ? 3 : 0x300,
    };
  }
  return {
    nonPaged: 0xffffa685_21000000n,
    paged: 0xffffc10a_40000000n,
    system: 0xffffd181_02000000n,
    prototypes: 0xffffc10a_30000000n,
    userHeap: 0x00000213_4a000000n,
    userShared: 0x7ffe0000n,
    kernelShared: 0xfffff780_00000000n,
    firstKpcr: null,
    stackSize: 0x6000,
    selfMap: arch === 'x64' ? 0x1ed : null,
  };
}

/** Hands out addresses upwards from a base. */
export class Region {
  #next: bigint;

  constructor(base: bigint) {
    this.#next = base;
  }

  take(size: number, align = 0x10): bigint {
    const a = BigInt(align);
    const at = ((this.#next + a - 1n) / a) * a;
    this.#next = at + BigInt(size);
    return at;
  }
}

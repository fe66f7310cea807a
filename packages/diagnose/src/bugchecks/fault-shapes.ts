/** Which bug check parameter holds what about a fault. Positions count from 0; bug check reference, checked on real dumps where noted. */

export interface FaultShape {
  /** Address that was referenced. */
  readonly address?: number;
  readonly irql?: number;
  readonly access?: number | 'write' | 'execute';
  /** Address of the instruction. */
  readonly pc?: number;
  /** 0x50: a trap frame before Windows 7, the instruction's address since. */
  readonly pcOrTrap?: number;
  readonly status?: number;
  readonly record?: number;
  readonly context?: number;
  readonly trap?: number;
  /** A reserved parameter in which newer builds pass the trap frame; taken only where it reads as one. */
  readonly maybeTrap?: number;
  /** Exception parameters 0 and 1. */
  readonly information?: readonly [number, number];
}

const raised: FaultShape = { address: 0, irql: 1, access: 2, pc: 3 };
const pool: FaultShape = { address: 0, access: 1, pc: 2 };
const fileSystem: FaultShape = { record: 1, context: 2 };

const shapes: ReadonlyMap<number, FaultShape> = new Map<number, FaultShape>([
  [0x0a, raised],
  [0xd1, raised],
  [0xc5, raised],
  [0xd0, raised],
  [0xd3, raised],
  [0xd4, raised],
  [0xdb, raised],
  [0x50, { address: 0, access: 1, pcOrTrap: 2 }],
  [0xcc, pool],
  [0xcd, pool],
  [0xce, pool],
  [0xcf, pool],
  [0xd5, pool],
  [0xd6, pool],
  [0xbe, { address: 0, access: 'write', maybeTrap: 2 }],
  [0xfc, { address: 0, access: 'execute', maybeTrap: 2 }],
  [0x1e, { status: 0, pc: 1, information: [2, 3] }],
  [0x3b, { status: 0, pc: 1, context: 2 }],
  [0x7e, { status: 0, pc: 1, record: 2, context: 3 }],
  [0x8e, { status: 0, pc: 1, trap: 2 }],
  [0x23, fileSystem],
  [0x24, fileSystem],
  [0x26, fileSystem],
  [0x27, fileSystem],
  [0x34, fileSystem],
  [0x9b, fileSystem],
  [0x108, fileSystem],
  [0x12c, fileSystem],
  [0x149, fileSystem],
  [0x3d, { record: 0, context: 1 }],
  [0x10f, { record: 0, context: 1, pc: 2 }],
  [0x135, { status: 0, pc: 1, context: 2 }],
  [0x11e, { record: 0, context: 1 }],
  [0x14d, { record: 0, context: 1 }],
  [0x1aa, { record: 2, context: 3 }],
]);

/** Null where the bug check's parameters describe no fault. */
export function faultShape(code: number): FaultShape | null {
  return shapes.get(code) ?? null;
}

export type FaultAccess = 'read' | 'write' | 'execute';

/**
 * Access parameter of a bug check. 0xA, 0xD1 and their kin: bit 0 write, bit 3 execute (0xD1 once 2). 0x50: 0 read, 1
 * write, 8 execute; since 10240 the page fault's own bits: 2 write, 10 execute. Null for another value.
 */
export function accessOf(code: number, value: bigint): FaultAccess | null {
  if (value === 0n) return 'read';
  if (value === 1n) return 'write';
  if (value === 8n || value === 0x10n) return 'execute';
  if (value === 2n) return code === 0xd1 ? 'execute' : 'write';
  return null;
}

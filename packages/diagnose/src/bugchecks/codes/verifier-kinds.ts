/** Parameter 1 of 0xC4, bug check reference and Driver Verifier's rules, in our words: [kind, what, parameter that tells who]. */
export interface VerifierKind {
  readonly what: string;
  /** What parameters 2 to 4 are; empty where reserved. */
  readonly parameters: readonly [string, string, string];
}

// biome-ignore format: one row a line
const rows: readonly (readonly [number, string, string, string, string])[] = [
  [0x00, 'asked for zero bytes of pool', 'IRQL', 'pool type', ''],
  [0x01, 'allocated paged pool above APC_LEVEL', 'IRQL', 'pool type', 'size'],
  [0x02, 'allocated nonpaged pool above DISPATCH_LEVEL', 'IRQL', 'pool type', 'size'],
  [0x10, 'freed an address that was never allocated', 'address', '', ''],
  [0x11, 'freed paged pool above APC_LEVEL', 'IRQL', 'pool type', 'address'],
  [0x12, 'freed nonpaged pool above DISPATCH_LEVEL', 'IRQL', 'pool type', 'address'],
  [0x13, 'freed pool that was free already', '', 'pool header', 'its contents'],
  [0x14, 'freed pool that was free already', '', 'pool header', 'its contents'],
  [0x15, 'freed pool that holds an active timer', 'timer', 'pool type', 'address'],
  [0x16, 'freed a bad pool address', '', 'address', ''],
  [0x17, 'freed pool that holds an active ERESOURCE', 'resource', 'pool type', 'address'],
  [0x30, 'raised the IRQL to a bad level', 'IRQL', 'requested IRQL', ''],
  [0x31, 'lowered the IRQL to a bad level', 'IRQL', 'requested IRQL', ''],
  [0x32, 'released a spin lock at an IRQL other than DISPATCH_LEVEL', 'IRQL', 'spin lock', ''],
  [0x33, 'acquired a fast mutex above APC_LEVEL', 'IRQL', 'fast mutex', ''],
  [0x34, 'released a fast mutex at an IRQL other than APC_LEVEL', 'IRQL', 'fast mutex', ''],
  [0x35, 'let the kernel release a spin lock at an IRQL other than DISPATCH_LEVEL', 'IRQL', 'spin lock', 'old IRQL'],
  [0x36, 'let the kernel release a queued spin lock at an IRQL other than DISPATCH_LEVEL', 'IRQL', 'lock number', 'old IRQL'],
  [0x37, 'acquired a resource with APCs enabled', 'IRQL', 'APC disable count', 'resource'],
  [0x38, 'released a resource with APCs enabled', 'IRQL', 'APC disable count', 'resource'],
  [0x39, 'acquired an unsafe mutex at an IRQL other than APC_LEVEL', 'IRQL', 'APC disable count', 'mutex'],
  [0x3a, 'released an unsafe mutex at an IRQL other than APC_LEVEL', 'IRQL', 'APC disable count', 'mutex'],
  [0x3c, 'referenced a bad handle', 'handle', 'object type', ''],
  [0x3d, 'passed a misaligned resource', '', '', 'resource'],
  [0x3e, 'left a critical region that it was not in', '', '', ''],
  [0x3f, 'referenced or dereferenced an object whose count is 0', 'object', 'new count', ''],
  [0x40, 'acquired a spin lock for DPC level below DISPATCH_LEVEL', 'IRQL', 'spin lock', ''],
  [0x41, 'released a spin lock from DPC level below DISPATCH_LEVEL', 'IRQL', 'spin lock', ''],
  [0x42, 'acquired a spin lock above DISPATCH_LEVEL', 'IRQL', 'spin lock', ''],
  [0x51, 'wrote past the end of an allocation', 'allocation', 'address beyond it', 'charged bytes'],
  [0x52, 'wrote past the end of an allocation', 'allocation', '', 'charged bytes'],
  [0x53, 'wrote past the end of an allocation', 'allocation', '', ''],
  [0x54, 'wrote past the end of an allocation', 'allocation', '', ''],
  [0x59, 'wrote past the end of an allocation', 'allocation', '', ''],
  [0x60, 'was unloaded with pool still allocated', 'paged bytes', 'nonpaged bytes', 'allocations'],
  [0x61, 'allocated pool while it was being unloaded', 'paged bytes', 'nonpaged bytes', 'allocations'],
  [0x62, 'was unloaded with pool still allocated', 'name of the driver', '', 'allocations'],
  [0x70, 'locked pages above DISPATCH_LEVEL', 'IRQL', 'MDL', 'access mode'],
  [0x73, 'mapped I/O space above DISPATCH_LEVEL', 'IRQL', 'physical address', 'bytes'],
  [0x78, 'unlocked pages above DISPATCH_LEVEL', 'IRQL', 'MDL', ''],
  [0x7b, 'unmapped I/O space above APC_LEVEL', 'IRQL', 'address', 'bytes'],
  [0x7c, 'unlocked an MDL whose pages were never locked', 'MDL', 'MDL flags', ''],
  [0x7d, 'unlocked an MDL of nonpaged pool', 'MDL', 'MDL flags', ''],
  [0x80, 'set an event above DISPATCH_LEVEL', 'IRQL', 'event', ''],
  [0x91, 'switched stacks in a way that the system does not support', '', '', ''],
  [0xe0, 'passed a user address where a kernel address belongs', 'address', 'length', ''],
  [0xe1, 'passed an unaligned or user-mode synchronisation object', 'object', '', ''],
  [0xe2, 'sent an IRP whose mode lets user addresses through', 'IRP', 'user address', ''],
  [0xe3, 'called a system service with a user address', 'address in the driver', 'user address', ''],
  [0xf6, 'used a user handle in kernel mode', 'handle', 'process', 'address in the driver'],
  [0x1000, 'acquired a resource that it holds already in a way that deadlocks', 'resource', '', ''],
  [0x1001, 'took locks in an order that can deadlock', 'resource', '', ''],
  [0x1002, 'used a lock that was never initialised', 'resource', '', ''],
  [0x1003, 'released locks out of order', 'resource', 'resource that was expected', ''],
  [0x1004, 'released a lock from another thread than its owner', 'resource', 'owner', 'current thread'],
  [0x1005, 'initialised a lock twice', 'resource', '', ''],
  [0x1007, 'released a lock that was not acquired', 'resource', '', ''],
  [0x1008, 'used the wrong function for the kind of lock', 'resource', '', ''],
  [0x1009, 'used the wrong function for the kind of lock', 'resource', '', ''],
  [0x100a, 'ended a thread that still owns a lock', 'resource', 'owner', 'process'],
  [0x100b, 'deleted a lock that is still owned', 'resource', 'owner', 'thread that deletes it'],
];

const kinds: ReadonlyMap<number, VerifierKind> = new Map(
  rows.map(([kind, what, second, third, fourth]) => [kind, { what, parameters: [second, third, fourth] }]),
);

/** Null for a kind that the table lacks: DDI compliance rules (20002 on) and newer checks. */
export function verifierKind(kind: number): VerifierKind | null {
  return kinds.get(kind) ?? null;
}

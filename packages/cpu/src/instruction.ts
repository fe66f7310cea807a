import type { Va } from '@dumpscope/core';

/** Lower-case register names as WinDbg prints them: `eax`, `al`, `r10d`, `xmm0`, `cr8`; ARM64 `x0`, `w0`, `sp`. */
export type Register = string;

export interface RegisterOperand {
  readonly kind: 'register';
  readonly register: Register;
  readonly size: number;
}

export interface ImmediateOperand {
  readonly kind: 'immediate';
  /** Sign- or zero-extended to the operation's size as the processor does, then taken as unsigned 64-bit. */
  readonly value: bigint;
  readonly size: number;
}

/** Effective address = base + index * scale + displacement, wrapped to `addressSize` bytes; RIP-relative ones are resolved: base null, displacement = target. */
export interface MemoryOperand {
  readonly kind: 'memory';
  readonly base: Register | null;
  readonly index: Register | null;
  readonly scale: 1 | 2 | 4 | 8;
  /** Signed. For RIP-relative operands the absolute target. */
  readonly displacement: bigint;
  readonly ripRelative: boolean;
  /** `ds`, `ss`, `fs`, `gs`, …; the default segment where none is encoded. */
  readonly segment: Register;
  readonly addressSize: number;
  /** Bytes accessed; 0 for `lea` and friends. */
  readonly size: number;
}

/** Near branch target. */
export interface BranchOperand {
  readonly kind: 'branch';
  readonly target: Va;
}

export type Operand = RegisterOperand | ImmediateOperand | MemoryOperand | BranchOperand;

export type Flow =
  | 'next'
  | 'jump'
  | 'conditional'
  | 'call'
  | 'indirect-jump'
  | 'indirect-call'
  | 'return'
  | 'interrupt'
  | 'exception'; // ud2, int3, invalid

/** Condition of jcc/setcc/cmovcc in Intel's letters: o no b ae e ne be a s ns p np l ge le g; cxz for jcxz family. */
export type Condition =
  | 'o'
  | 'no'
  | 'b'
  | 'ae'
  | 'e'
  | 'ne'
  | 'be'
  | 'a'
  | 's'
  | 'ns'
  | 'p'
  | 'np'
  | 'l'
  | 'ge'
  | 'le'
  | 'g'
  | 'cxz'
  | 'loop'
  | 'loope'
  | 'loopne';

/** A decoded instruction; plain data, no wasm handle inside. */
export interface Instruction {
  readonly address: Va;
  readonly length: number;
  readonly bytes: Uint8Array;
  /** Lower case, without prefixes: `mov`, `cmpxchg`, `jne`. */
  readonly mnemonic: string;
  readonly operands: readonly Operand[];
  readonly flow: Flow;
  readonly target: Va | null;
  readonly condition: Condition | null;
  readonly lock: boolean;
  readonly rep: 'rep' | 'repe' | 'repne' | null;
  /** Full-width registers read and written (`rax` for `al` on x64, `eax` on x86), implicit ones included. */
  readonly reads: readonly Register[];
  readonly writes: readonly Register[];
  /** Memory operands with their access, implicit ones (push, movs, call) included. */
  readonly memory: readonly {
    readonly operand: MemoryOperand;
    readonly access: 'read' | 'write' | 'read-write' | 'none';
  }[];
  /** Arithmetic flags (letters of `ocszap`) read, written, and left undefined. */
  readonly flagsRead: string;
  readonly flagsWritten: string;
  readonly flagsUndefined: string;
  /** False for bytes that are no instruction. */
  readonly valid: boolean;
}

/** Turns an address into `nt!Foo+0x10`, or undefined where there is no name. */
export type Symbolizer = (address: Va) => string | undefined;

/** The port behind which iced-x86 and capstone live. */
export interface Disassembler {
  readonly arch: 'x86' | 'x64' | 'arm64';
  readonly maxLength: number;
  /** Decodes one instruction from `bytes[offset…]`; null when the bytes end inside it. */
  decode(bytes: Uint8Array, offset: number, address: Va): Instruction | null;
  /** WinDbg's text: mnemonic and operands apart (`mov`, `dword ptr [edx+4],ecx`), without the address and bytes columns. */
  format(instruction: Instruction, symbolize?: Symbolizer): { readonly mnemonic: string; readonly operands: string };
}

/** Where code bytes come from: up to 15 bytes at an address, or null when they cannot be read. */
export type CodeReader = (address: Va, length: number) => Uint8Array | null;

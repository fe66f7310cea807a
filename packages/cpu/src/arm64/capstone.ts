import { inflateSync } from 'fflate';
import { decodeBase64 } from '../base64.ts';
import { instantiateWasm } from '../web-assembly.ts';
import { CAPSTONE, CAPSTONE_EXPORTS, CAPSTONE_IMPORTS, CAPSTONE_SIZE, CAPSTONE_WASM } from './capstone-wasm.gen.ts';

/** What is taken from capstone: its text, and which registers it says are read and written. Its detail layout is stale. */
export interface CapstoneText {
  readonly mnemonic: string;
  readonly operands: string;
  readonly reads: readonly string[];
  readonly writes: readonly string[];
  readonly isJump: boolean;
  readonly isCall: boolean;
  readonly isReturn: boolean;
  readonly isInterrupt: boolean;
}

type Exported = Readonly<Record<string, (...args: (number | bigint)[]) => number>>;

// Offsets in cs_insn, as the glue of the same package reads them.
const MNEMONIC = 42;
const OPERANDS = 74;
const MAX_REGISTERS = 64;

/** Starts capstone (inflating and compiling take about 100 ms) and returns its ARM64 decoder. */
export function startCapstone(): (bytes: Uint8Array, offset: number, address: bigint) => CapstoneText | null {
  const wasm = inflateSync(decodeBase64(CAPSTONE_WASM), { out: new Uint8Array(CAPSTONE_SIZE) });
  const exports = instantiateWasm(wasm as Uint8Array<ArrayBuffer>, {
    a: {
      [CAPSTONE_IMPORTS.write]: () => 0,
      [CAPSTONE_IMPORTS.close]: () => 0,
      // One instruction at a time never needs more memory.
      [CAPSTONE_IMPORTS.grow]: () => 0,
    },
  });
  const memory = (exports as Readonly<Record<string, { readonly buffer: ArrayBuffer }>>)[CAPSTONE_EXPORTS.memory];
  const call = (name: keyof typeof CAPSTONE_EXPORTS, ...args: (number | bigint)[]): number => {
    const f = (exports as Exported)[CAPSTONE_EXPORTS[name]];
    if (!f) throw new Error(`capstone has no ${name}`);
    return f(...args);
  };
  if (!memory) throw new Error('capstone has no memory');
  call('initialize');
  const handleAt = call('allocate', 4);
  if (call('open', CAPSTONE.arm64, 0, handleAt) !== 0) throw new Error('capstone does not open');
  const view = new DataView(memory.buffer);
  const heap = new Uint8Array(memory.buffer);
  const handle = view.getUint32(handleAt, true);
  call('option', handle, CAPSTONE.optionDetail, 1);
  const code = call('allocate', 4);
  const cursor = call('allocate', 16);
  const instruction = call('newInstruction', handle);
  const lists = call('allocate', MAX_REGISTERS * 4 + 8);
  const readList = lists;
  const writeList = lists + MAX_REGISTERS * 2;
  const counts = lists + MAX_REGISTERS * 4;
  const names = new Map<number, string>();

  const text = (at: number): string => {
    let s = '';
    for (let i = at; heap[i]; i++) s += String.fromCharCode(heap[i] ?? 0);
    return s;
  };
  const registers = (list: number, countAt: number): string[] => {
    const count = Math.min(heap[countAt] ?? 0, MAX_REGISTERS);
    return Array.from({ length: count }, (_, i) => {
      const id = view.getUint16(list + 2 * i, true);
      let name = names.get(id);
      if (name === undefined) {
        name = text(call('registerName', handle, id));
        names.set(id, name);
      }
      return name;
    });
  };
  const inGroup = (group: number): boolean => (call('inGroup', handle, instruction, group) & 0xff) !== 0;

  return (bytes, offset, address) => {
    for (let i = 0; i < 4; i++) heap[code + i] = bytes[offset + i] ?? 0;
    view.setUint32(cursor, code, true);
    view.setUint32(cursor + 4, 4, true);
    view.setBigUint64(cursor + 8, address, true);
    if ((call('decode', handle, cursor, cursor + 4, cursor + 8, instruction) & 0xff) === 0) return null;
    heap[counts] = 0;
    heap[counts + 1] = 0;
    const known = call('registersAccess', handle, instruction, readList, counts, writeList, counts + 1) === 0;
    return {
      mnemonic: text(instruction + MNEMONIC),
      operands: text(instruction + OPERANDS),
      reads: known ? registers(readList, counts) : [],
      writes: known ? registers(writeList, counts + 1) : [],
      isJump: inGroup(CAPSTONE.jump),
      isCall: inGroup(CAPSTONE.call),
      isReturn: inGroup(CAPSTONE.return),
      isInterrupt: inGroup(CAPSTONE.interrupt),
    };
  };
}

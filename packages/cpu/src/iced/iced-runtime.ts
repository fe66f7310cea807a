import { decodeBase64 } from '../base64.ts';
import { instantiateWasm } from '../web-assembly.ts';
import * as glue from './iced-glue.gen.ts';
import { DecoderError } from './iced-tables.gen.ts';
import { ICED_WASM } from './iced-wasm.gen.ts';

const MAX_LENGTH = 15;
// wasm-bindgen numbers host objects from 132; we hand out list handles only.
const FIRST_HANDLE = 132;

export interface UsedRegister {
  readonly register: number;
  readonly access: number;
}

export interface UsedMemory {
  readonly segment: number;
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly displacement: bigint;
  readonly memorySize: number;
  readonly access: number;
}

/** One instance of iced for the whole process: two decoders over our own 15-byte buffers and one reused instruction. */
export interface Iced {
  /**
   * Decodes into the reused instruction and returns its pointer for the accessors of iced-glue.gen.ts: valid until the
   * next call. `null` when the bytes end inside the instruction, 0 when they are no instruction.
   */
  decode(bitness: 32 | 64, bytes: Uint8Array, offset: number, ip: bigint): number | null;
  /** Registers and memory that the instruction at `pointer` uses, implicit ones included. */
  info(pointer: number): { registers: UsedRegister[]; memory: UsedMemory[] };
}

let instance: Iced | undefined;

/** The iced-x86 instance, started on first use (about 10 ms, mostly base64 and compilation). */
export function iced(): Iced {
  instance ??= start();
  return instance;
}

function start(): Iced {
  const handles: unknown[] = [];
  let registers: UsedRegister[] = [];
  let memory: UsedMemory[] = [];
  let exports: glue.IcedExports;

  const text = (pointer: number, length: number): string =>
    String.fromCharCode(...new Uint8Array(exports.memory.buffer, pointer, length));
  const add = (value: unknown): number => handles.push(value) - 1 + FIRST_HANDLE;

  exports = instantiateWasm(
    decodeBase64(ICED_WASM),
    glue.icedImports({
      dropObject: () => {},
      newError: (pointer, length) => add(text(pointer, length)),
      newArray: () => add(null),
      push: () => 0,
      newUsedRegister: (pointer) => {
        registers.push({ register: glue.usedRegisterRegister(pointer), access: glue.usedRegisterAccess(pointer) });
        exports.__wbg_usedregister_free(pointer);
        return FIRST_HANDLE;
      },
      newUsedMemory: (pointer) => {
        memory.push({
          segment: glue.usedMemorySegment(pointer),
          base: glue.usedMemoryBase(pointer),
          index: glue.usedMemoryIndex(pointer),
          scale: glue.usedMemoryScale(pointer),
          displacement: glue.usedMemoryDisplacement(pointer),
          memorySize: glue.usedMemoryMemorySize(pointer),
          access: glue.usedMemoryAccess(pointer),
        });
        exports.__wbg_usedmemory_free(pointer);
        return FIRST_HANDLE;
      },
      fail: (pointer, length) => {
        throw new Error(`iced: ${text(pointer, length)}`);
      },
    }),
  ) as glue.IcedExports;
  glue.bindIced(exports);

  const returnArea = exports.__wbindgen_add_to_stack_pointer(-16);
  const newDecoder = (bitness: 32 | 64) => {
    // decoder_new takes ownership of this block and reads it in place, so writing into it feeds the decoder.
    const buffer = exports.__wbindgen_malloc(MAX_LENGTH, 1) >>> 0;
    exports.decoder_new(returnArea, bitness, buffer, MAX_LENGTH, 0);
    const decoder = new Int32Array(exports.memory.buffer, returnArea, 1)[0] ?? 0;
    return { buffer, decoder: decoder >>> 0 };
  };
  const decoders = { 32: newDecoder(32), 64: newDecoder(64) };
  const instruction = exports.instruction_new() >>> 0;
  const factory = exports.instructioninfofactory_new() >>> 0;
  let heap = new Uint8Array(exports.memory.buffer);

  return {
    decode(bitness, bytes, offset, ip) {
      const { buffer, decoder } = decoders[bitness];
      const available = Math.min(MAX_LENGTH, bytes.length - offset);
      if (available <= 0) return null;
      if (heap.byteLength === 0) heap = new Uint8Array(exports.memory.buffer);
      const position = MAX_LENGTH - available;
      for (let i = 0; i < available; i++) heap[buffer + position + i] = bytes[offset + i] ?? 0;
      exports.decoder_set_ip(decoder, ip);
      exports.decoder_set_position(returnArea, decoder, position);
      exports.decoder_decodeOut(decoder, instruction);
      switch (glue.decoderLastError(decoder)) {
        case DecoderError.None:
          return instruction;
        case DecoderError.NoMoreBytes:
          return available < MAX_LENGTH ? null : 0;
        default:
          return 0;
      }
    },
    info(pointer) {
      registers = [];
      memory = [];
      handles.length = 0;
      const info = exports.instructioninfofactory_info(factory, pointer) >>> 0;
      exports.instructioninfo_usedRegisters(info);
      exports.instructioninfo_usedMemory(info);
      exports.__wbg_instructioninfo_free(info);
      return { registers, memory };
    },
  };
}

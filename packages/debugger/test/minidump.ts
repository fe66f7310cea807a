/** Writes a user minidump of one thread: registers, its stack, modules with their RSDS records. Enough for LLDB. */

export interface MinidumpModule {
  readonly name: string;
  readonly base: bigint;
  readonly size: number;
  readonly timeDateStamp: number;
  readonly codeView: { readonly name: string; readonly guid: string; readonly age: number } | null | undefined;
}

export interface MinidumpInput {
  readonly arch: 'x86' | 'x64';
  readonly registers: ReadonlyMap<string, bigint>;
  readonly stackAt: bigint;
  readonly stack: Uint8Array;
  readonly modules: readonly MinidumpModule[];
}

const X86_CONTEXT: Readonly<Record<string, number>> = {
  edi: 0x9c,
  esi: 0xa0,
  ebx: 0xa4,
  edx: 0xa8,
  ecx: 0xac,
  eax: 0xb0,
  ebp: 0xb4,
  eip: 0xb8,
  efl: 0xc0,
  esp: 0xc4,
};
const X64_ORDER = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rip',
];

function u32(...values: readonly (number | bigint)[]): Buffer {
  const out = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) out.writeUInt32LE(Number(BigInt.asUintN(32, BigInt(value))), i * 4);
  return out;
}

function u64(value: bigint): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt.asUintN(64, value));
  return out;
}

function context(input: MinidumpInput): Buffer {
  if (input.arch === 'x86') {
    const out = Buffer.alloc(716);
    out.writeUInt32LE(0x10007, 0);
    for (const [name, at] of Object.entries(X86_CONTEXT))
      out.writeUInt32LE(Number(input.registers.get(name) ?? 0n), at);
    return out;
  }
  const out = Buffer.alloc(1232);
  out.writeUInt32LE(0x10000b, 0x30);
  for (const [i, name] of X64_ORDER.entries()) out.writeBigUInt64LE(input.registers.get(name) ?? 0n, 0x78 + 8 * i);
  return out;
}

/** RSDS: GUID with its first three fields little-endian, age, name. */
function codeView(record: MinidumpModule['codeView']): Buffer {
  if (record == null) return Buffer.alloc(0);
  const raw = Buffer.from(record.guid.replace(/[-{}]/g, ''), 'hex');
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Buffer.concat([
    Buffer.from('RSDS'),
    Buffer.from(order.map((i) => raw[i] ?? 0)),
    u32(record.age),
    Buffer.from(`${record.name}\0`),
  ]);
}

export function minidump(input: MinidumpInput): Uint8Array {
  const parts: Buffer[] = [];
  let at = 0;
  const put = (bytes: Buffer): number => {
    parts.push(bytes);
    at += bytes.length;
    return at - bytes.length;
  };
  const streamCount = 4;
  put(Buffer.alloc(32 + streamCount * 12));
  const system = Buffer.alloc(56);
  system.writeUInt16LE(input.arch === 'x86' ? 0 : 9, 0);
  system.writeUInt8(1, 6);
  system.writeUInt8(1, 7);
  system.writeUInt32LE(10, 8);
  system.writeUInt32LE(2, 20); // VER_PLATFORM_WIN32_NT
  system.writeUInt32LE(put(Buffer.alloc(8)), 24); // an empty service pack string
  const systemAt = put(system);
  const registers = context(input);
  const contextAt = put(registers);
  const stackAt = put(Buffer.from(input.stack));
  const thread = Buffer.concat([
    u32(1),
    u32(1, 0, 0, 0),
    u64(0n),
    u64(input.stackAt),
    u32(input.stack.length, stackAt),
    u32(registers.length, contextAt),
  ]);
  const threadAt = put(thread);
  const modules = input.modules.map((module) => {
    const name = Buffer.from(module.name, 'utf16le');
    const nameAt = put(Buffer.concat([u32(name.length), name, Buffer.alloc(2)]));
    const record = codeView(module.codeView);
    const recordAt = put(record);
    return Buffer.concat([
      u64(module.base),
      u32(module.size, 0, module.timeDateStamp, nameAt),
      Buffer.alloc(52),
      u32(record.length, recordAt),
      u32(0, 0),
      u64(0n),
      u64(0n),
    ]);
  });
  const moduleList = Buffer.concat([u32(modules.length), ...modules]);
  const moduleAt = put(moduleList);
  const memoryList = Buffer.concat([u32(1), u64(input.stackAt), u32(input.stack.length, stackAt)]);
  const memoryAt = put(memoryList);
  const out = Buffer.concat(parts);
  Buffer.concat([Buffer.from('MDMP'), u32(0xa793, streamCount, 32, 0, 0), u64(0n)]).copy(out, 0);
  const streams: readonly (readonly [number, number, number])[] = [
    [7, system.length, systemAt],
    [3, thread.length, threadAt],
    [4, moduleList.length, moduleAt],
    [5, memoryList.length, memoryAt],
  ];
  for (const [i, stream] of streams.entries()) u32(...stream).copy(out, 32 + 12 * i);
  return out;
}

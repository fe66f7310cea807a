import { va } from '@dumpscope/core';
import type { TypeRef } from '@dumpscope/symbols';
import type { Target } from '../src/target/model.ts';
import { fakeTypes } from './fake-scope.ts';
import {
  FakeMemory,
  fakeFrame,
  fakeModule,
  fakeProcessor,
  fakeRegisters,
  fakeTarget,
  fakeThread,
} from './fake-target.ts';

const ulong: TypeRef = { kind: 'base', name: 'unsigned long', size: 4, signed: false, form: 'int' };
const ushort: TypeRef = { kind: 'base', name: 'unsigned short', size: 2, signed: false, form: 'int' };
const pointer: TypeRef = {
  kind: 'pointer',
  to: { kind: 'base', name: 'void', size: 0, signed: false, form: 'void' },
  size: 4,
};
const list: TypeRef = { kind: 'struct', name: '_LIST_ENTRY' };
const queue: TypeRef = { kind: 'array', count: 16, of: { kind: 'struct', name: '_KSPIN_LOCK_QUEUE' } };

/** XP SP3 offsets of what the commands read here (symbols/layouts-x86.md). */
const types = fakeTypes(4, {
  _LIST_ENTRY: [8, { Flink: [0, pointer], Blink: [4, pointer] }],
  _KSPIN_LOCK_QUEUE: [8, { Next: [0, pointer], Lock: [4, pointer] }],
  _KPRCB: [0xc50, { CurrentThread: [4, pointer], LockQueue: [0x418, queue] }],
  _IRP: [
    0x70,
    {
      Type: [0, ushort],
      Size: [2, ushort],
      MdlAddress: [4, pointer],
      Flags: [8, ulong],
      ThreadListEntry: [0x10, list],
    },
  ],
});

/** The state of seed/dispatch-level-spin.txt (S01a of cases/spin-states.json) as a fake target: for layouts, not for reading dumps. */
export function seedTarget(): Target {
  const memory = new FakeMemory(4);
  // The loop: bytes of S01 in cases/spin-states.json.
  memory.hex(
    0x806e49f0n,
    'a18000feffc1e8048a8018f26e80c7058000feff41000000884208894a04c7020000000089d0871183fa00750783c902894804c383c9018948048902f740040100000074eef390ebf3',
  );
  memory.put(0x806e4a39n, new Uint8Array(0x20).fill(0xcc));
  for (const [address, value] of [
    [0xa07be1f4n, 0xa1342755n],
    [0xa07be200n, 0n],
    [0xa07be204n, 0x831dabf5n],
    [0xa07be208n, 2n],
    [0x831dabf4n, 0xa07be200n],
    [0xa07beb94n, 0xa07be200n],
    [0xa07beb98n, 0x831dabf6n],
  ] as const)
    memory.dword(address, value);
  // KTRAP_FRAME at a07be180.
  const frame = 0xa07be180n;
  for (let i = 0n; i < 0x74n; i += 4n) memory.dword(frame + i, 0);
  for (const [offset, value] of [
    [0x3c, 0xa07beb94n],
    [0x40, 0x831dabf5n],
    [0x44, 0xa07be200n],
    [0x54, 0x831dabd8n],
    [0x58, 0x831d02a8n],
    [0x5c, 0xa07be228n],
    [0x60, 0xa07be220n],
    [0x68, 0x806e4a37n],
    [0x6c, 0x8n],
    [0x70, 0x202n],
  ] as const)
    memory.dword(frame + BigInt(offset), value);
  // IRP 86163008 on the thread's list.
  memory.dword(0x830c09d0n, 0x86163018n).dword(0x86163018n, 0x830c09d0n);
  memory
    .number(0x86163008n, 6, 2)
    .number(0x8616300an, 0x1d8, 2)
    .dword(0x8616300cn, 0x84f156c0n)
    .dword(0x86163010n, 0x900);
  // Two PRCBs with unused queues but the PFN lock: processor 0 owns it, 1 waits.
  for (const prcb of [0xffdff120n, 0xf7727120n])
    for (let i = 0n; i < 0x90n; i += 4n) memory.dword(prcb + 0x418n + i, 0);
  memory.dword(0xffdff120n + 0x428n, 0xf7727120n + 0x428n).dword(0xffdff120n + 0x42cn, 0x80550002n);
  memory.dword(0xf7727120n + 0x42cn, 0x80550001n).dword(0x80550000n, 0xf7727120n + 0x428n);

  const hal = fakeModule('hal', 'hal.dll', 0x806e2000n, 0x20380, {
    KeAcquireInStackQueuedSpinLock: 0x29f0,
    KeNext: 0x2a39,
    HalpVectorToIRQL: 0xd218,
  });
  const nt = fakeModule('nt', 'ntkrpamp.exe', 0x804d7000n, 0x20a000, {
    KeBugCheckEx: 0x22f6a,
    KiInterruptDispatch: 0x6d8a0,
    KiIdleLoop: 0x6a2d0,
  });
  const i8042prt = fakeModule('i8042prt', 'i8042prt.sys', 0xf7775000n, 0xd000, {
    I8xProcessCrashDump: 0x25c3,
    I8042KeyboardInterruptService: 0x1e16,
  });
  const driver = fakeModule('MyDriver', 'MyDriver.sys', 0xa1340000n, 0x9000, { RcvData: 0x26bd });
  const crash = fakeRegisters('x86', {
    eip: 0x804f9f85n,
    esp: 0xa07be0e0n,
    ebp: 0xa07be0f8n,
    efl: 0x246n,
    cs: 8n,
    ss: 0x10n,
    ds: 0x23n,
    es: 0x23n,
    fs: 0x30n,
    gs: 0n,
    eax: 0n,
    ebx: 0n,
    ecx: 0n,
    edx: 0n,
    esi: 0n,
    edi: 0n,
  });
  const idle = fakeRegisters('x86', { eip: 0x805412e4n, esp: 0xf794cd50n, ebp: 0xf794cd54n, efl: 0x246n, cs: 8n });
  const at = (pc: bigint, ebp: bigint, ret: bigint, extra: object = {}) =>
    fakeFrame({
      pc: va(pc),
      registers: crash,
      childEbp: va(ebp),
      sp: va(ebp),
      returnAddress: va(ret),
      args: [0xe2n, 0n, null],
      ...extra,
    });
  const frames = [
    at(0x804f9f85n, 0xa07be0f8n, 0xf77777fan, { trust: 'context' }),
    at(0xf77777fan, 0xa07be114n, 0xf7777032n, { index: 1 }),
    at(0xf7777032n, 0xa07be15cn, 0x805448e5n, { index: 2 }),
    at(0x805448e5n, 0xa07be15cn, 0x806e4a37n, {
      index: 3,
      remark: 'FPO: [0,2] TrapFrame @ a07be180',
      trapFrame: va(0xa07be180n),
    }),
    at(0x806e4a37n, 0xa07be1f0n, 0xa1342755n, { index: 4, trust: 'trap-frame', remark: 'FPO: [0,0,0]' }),
    at(0xa1342755n, 0xa07be220n, 0xa1341000n, { index: 5 }),
  ];
  const thread = fakeThread(
    0x830c07c0n,
    {
      process: va(0x831ec608n),
      owningProcess: va(0x831ec608n),
      cid: { process: 0x588, thread: 0x528 },
      teb: va(0x7ffa3000n),
      win32Thread: va(0xe29546a8n),
      state: 2,
      nextProcessor: 0,
      waitTime: 122850,
      contextSwitches: 191,
      userTime: 0,
      kernelTime: 40794,
      initialStack: va(0xa07bf000n),
      kernelStack: va(0xa07beca0n),
      stackBase: va(0xa07bf000n),
      stackLimit: va(0xa07bb000n),
      priority: 11,
      basePriority: 8,
    },
    {
      '&IrpList': 0x830c09d0n,
      ActiveImpersonationInfo: 0n,
      LargeStack: 1n,
      Win32StartAddress: 0x35f76821n,
      StartAddress: 0x7c810659n,
      CallbackStack: 0n,
      PriorityDecrement: 2n,
      DecrementCount: 16n,
      KernelStackResident: 1n,
    },
  );
  return fakeTarget({
    arch: 'x86',
    build: 2600,
    memory,
    modules: [nt, hal, i8042prt, driver],
    types,
    threads: [thread],
    images: { '831ec608': 'MyApp.EXE' },
    processFields: { DeviceMap: 0xe257b7c8n },
    tickCount: 163646n,
    processors: [
      fakeProcessor(0, 0xffdff120n, {
        currentThread: va(0x830c07c0n),
        idleThread: false,
        idleThreadAddress: va(0x8055be40n),
        registers: crash,
        contextTrust: 'bugchecking',
      }),
      fakeProcessor(1, 0xf7727120n, {
        currentThread: va(0xf772a000n),
        idleThread: true,
        idle: true,
        idleThreadAddress: va(0xf772a000n),
        registers: idle,
      }),
    ],
    frames: (start) =>
      start === idle
        ? [
            fakeFrame({
              pc: va(0x805412e4n),
              registers: idle,
              childEbp: va(0xf794cd54n),
              sp: va(0xf794cd50n),
              returnAddress: va(0n),
              trust: 'context',
            }),
          ]
        : start.pc === 0x806e4a37n
          ? frames.slice(4).map((f, index) => ({ ...f, index }))
          : frames,
    bugcheck: {
      code: 0xe2,
      baseCode: 0xe2,
      name: 'MANUALLY_INITIATED_CRASH',
      parameters: [0n, 0n, 0n, 0n],
      meanings: [null, null, null, null],
    },
  });
}

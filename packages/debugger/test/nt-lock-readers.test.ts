/** Readers of locks, messages, queues and requests over layouts of several builds and a few bytes of memory. */
import { Memory, va } from '@dumpscope/core';
import { loadBuiltin } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { alpcQueue, readAlpcMessage } from '../src/nt/alpc.ts';
import { fastMutexAround } from '../src/nt/fast-mutex.ts';
import { currentIrpLocation, irpLocations, readIrp } from '../src/nt/irp.ts';
import { readKernelQueue } from '../src/nt/kernel-queue.ts';
import { readLockEntries } from '../src/nt/lock-entries.ts';
import { lpcQueue } from '../src/nt/lpc.ts';
import { pushLockWaiters, readPushLock, readPushLockWaitBlock } from '../src/nt/pushlock.ts';
import { Structure } from '../src/nt/structure.ts';
import { FieldFinder } from '../src/target/fields.ts';
import type { Target } from '../src/target/model.ts';
import { KernelThread } from '../src/target/thread.ts';
import { FakeMemory } from './fake-target.ts';

const XP = 'x86-5.1.2600.5512-30b5fb31';
const SEVEN = 'x64-6.1.7601.24540-339e7413';
const SEVEN_X86 = 'x86-6.1.7601-pae';
const EIGHT = 'x64-6.3.9600.19913-22597d0b';
const TEN = 'x64-10.0.19041.3570-606ff669';
const TEN_X86 = 'x86-10.0.19041.928';
const ELEVEN = 'x64-10.0.22000.318-32c1a669';

class Machine {
  readonly bytes: FakeMemory;
  readonly target: Target;

  constructor(build: string) {
    const table = loadBuiltin(build)?.table;
    if (table === undefined) throw new Error(build);
    this.bytes = new FakeMemory(table.pointerSize);
    this.target = {
      pointerSize: table.pointerSize,
      memory: new Memory(this.bytes as never),
      layouts: { table, trust: 'exact', how: '' },
    } as unknown as Target;
  }

  pointer(at: bigint, value: bigint): this {
    this.bytes.number(at, value, this.target.pointerSize);
    return this;
  }

  zero(at: bigint, length: number): this {
    this.bytes.put(at, new Uint8Array(length));
    return this;
  }

  /** A structure of zeros with some fields set. */
  put(type: string, at: bigint, fields: Readonly<Record<string, bigint | number>> = {}): this {
    this.zero(at, this.target.layouts.table.struct(type)?.size ?? 0);
    for (const [path, value] of Object.entries(fields)) {
      const field = new Structure(this.target, type, at);
      const place = field.addressOf(path);
      const location = field.field(path);
      if (place === undefined || location === undefined) throw new Error(`${type}.${path}`);
      this.bytes.number(place, value, field.sizeOf(location.type) ?? 0);
    }
    return this;
  }

  thread(at: bigint): KernelThread {
    return new KernelThread(this.target.memory, new FieldFinder(this.target.layouts.table, null), at);
  }
}

describe('EX_PUSH_LOCK', () => {
  it('counts holders where nobody waits', () => {
    const machine = new Machine(TEN).pointer(0xffffa000n, 0x21n);
    expect(readPushLock(machine.target, 0xffffa000n)).toMatchObject({ locked: true, waiting: false, shareCount: 2 });
  });

  it('leads to the last wait block', () => {
    const machine = new Machine(TEN).pointer(0xffffa000n, 0xfffff80d3a206c47n);
    expect(readPushLock(machine.target, 0xffffa000n)).toMatchObject({
      locked: true,
      waiting: true,
      waking: true,
      shareCount: null,
      waitBlock: 0xfffff80d3a206c40n,
    });
  });

  it('has other bits on XP', () => {
    const machine = new Machine(XP).pointer(0xe1000000n, 0xf7a6fc45n).pointer(0xe1000010n, 6n);
    expect(readPushLock(machine.target, 0xe1000000n)).toMatchObject({ waiting: true, waitBlock: 0xf7a6fc44n });
    expect(readPushLock(machine.target, 0xe1000010n)).toMatchObject({ locked: true, waiting: false, shareCount: 1 });
  });

  for (const build of [SEVEN, SEVEN_X86, TEN, TEN_X86]) {
    it(`walks wait blocks from the last to the first (${build})`, () => {
      const machine = new Machine(build);
      const { pointerSize } = machine.target;
      const event = BigInt(machine.target.layouts.table.struct('_KEVENT')?.size ?? 0);
      const [first, last] = [0xf7a6fc40n, 0xf7a7fc40n];
      for (const [at, next, flags] of [
        [first, 0n, 1],
        [last, first, 0],
      ] as const) {
        machine.zero(at, 0x60).pointer(at + event, next);
        machine.bytes
          .dword(at + event + BigInt(3 * pointerSize), 3)
          .dword(at + event + BigInt(3 * pointerSize) + 4n, flags);
      }
      const chain = pushLockWaiters(machine.target, last, 100);
      expect(chain.whole).toBe(true);
      expect(chain.blocks.map(({ address }) => address)).toEqual([last, first]);
      expect(chain.blocks.map(({ exclusive }) => exclusive)).toEqual([false, true]);
      expect(readPushLockWaitBlock(machine.target, first)).toMatchObject({ shareCount: 3 });
    });
  }

  it('stops at a chain that bites itself, is too long, or breaks off', () => {
    const machine = new Machine(SEVEN);
    machine.put('_EX_PUSH_LOCK_WAIT_BLOCK', 0xfffff88005000000n, { Next: 0xfffff88005001000n });
    machine.put('_EX_PUSH_LOCK_WAIT_BLOCK', 0xfffff88005001000n, { Next: 0xfffff88005000000n });
    machine.put('_EX_PUSH_LOCK_WAIT_BLOCK', 0xfffff88005002000n, { Next: 0xfffff8800500f000n });
    const walk = (at: bigint, limit: number) => pushLockWaiters(machine.target, at, limit);
    expect(walk(0xfffff88005000000n, 100)).toMatchObject({ whole: false, blocks: [{}, {}] });
    expect(walk(0xfffff88005000000n, 1)).toMatchObject({ whole: false, blocks: [{}] });
    expect(walk(0xfffff88005002000n, 100)).toMatchObject({ whole: false, blocks: [{}] });
  });
});

describe('KLOCK_ENTRY', () => {
  const at = 0xffffa98517a30040n;
  const lock = 0xffffa9851c4d1f38n;
  const bare = lock & ((1n << 63n) - 1n);

  it('tells held locks from waited ones and free entries (19041)', () => {
    const machine = new Machine(TEN).put('_ETHREAD', at, {
      'LockEntries[0].LockUnsafe': bare,
      'LockEntries[0].AcquiredByte': 1,
      'LockEntries[1].LockUnsafe': lock + 0x40n,
      'LockEntries[1].EntryFlags': 0x100,
      'LockEntries[2].LockUnsafe': bare + 0x80n,
      'Tcb.AbEntrySummary': 0x3c,
    });
    expect(readLockEntries(machine.target, machine.thread(at))).toMatchObject([
      { lock, acquired: true, waiting: false },
      { lock: lock + 0x40n, acquired: false, waiting: true },
    ]);
  });

  it('reads those of 8.1, where the lowest bit of the lock means waiting', () => {
    const machine = new Machine(EIGHT).put('_ETHREAD', at, {
      'Tcb.LockEntries[0].LockUnsafe': bare,
      'Tcb.LockEntries[0].AcquiredByte': 1,
      'Tcb.LockEntries[5].LockUnsafe': lock + 0x41n,
    });
    expect(readLockEntries(machine.target, machine.thread(at))).toMatchObject([
      { lock, acquired: true, waiting: false },
      { lock: lock + 0x40n, acquired: false, waiting: true },
    ]);
  });

  it('reads those of 11 and of 32 bits', () => {
    const eleven = new Machine(ELEVEN).put('_ETHREAD', at, {
      'LockEntries[3].LockUnsafe': bare,
      'LockEntries[3].WaitingByte': 1,
    });
    expect(readLockEntries(eleven.target, eleven.thread(at))).toMatchObject([{ lock, waiting: true }]);
    const x86 = new Machine(TEN_X86).put('_ETHREAD', 0x82b3f040n, {
      'LockEntries[0].LockUnsafe': 0x61020100n,
      'LockEntries[0].AcquiredByte': 1,
    });
    expect(readLockEntries(x86.target, x86.thread(0x82b3f040n))).toMatchObject([{ lock: 0xe1020100n, acquired: true }]);
  });

  it('says nothing where the kernel keeps none or the thread is not whole', () => {
    const seven = new Machine(SEVEN).put('_ETHREAD', at);
    expect(readLockEntries(seven.target, seven.thread(at))).toBeNull();
    const ten = new Machine(TEN);
    ten.zero(at, 0x600);
    expect(readLockEntries(ten.target, ten.thread(at))).toBeNull();
  });
});

describe('FAST_MUTEX', () => {
  const at = 0xffff9709ac3d4f08n;

  it('reads both ways to count waiters', () => {
    const machine = new Machine(TEN).put('_FAST_MUTEX', at, { Count: 8, 'Event.Header.Type': 1, Contention: 2 });
    expect(fastMutexAround(machine.target, at + 0x18n)).toMatchObject({ address: at, waiters: 2, kind: 'fast mutex' });
    machine.bytes.dword(at, -3);
    expect(fastMutexAround(machine.target, at + 0x18n)).toMatchObject({ waiters: 3 });
    for (const free of [0, 1, 5, 9]) {
      machine.bytes.dword(at, free);
      expect(fastMutexAround(machine.target, at + 0x18n)?.waiters).toBeNull();
    }
  });

  it('leaves the low bits out of the owner', () => {
    const machine = new Machine(TEN).put('_FAST_MUTEX', at, { Owner: 0xffff9709ac20e041n, 'Event.Header.Type': 1 });
    expect(fastMutexAround(machine.target, at + 0x18n)?.owner).toBe(0xffff9709ac20e040n);
  });

  it('is a guarded mutex around a gate, and nothing around other objects', () => {
    const seven = new Machine(SEVEN).put('_KGUARDED_MUTEX', at, { Count: 4, 'Gate.Header.Type': 7 });
    expect(fastMutexAround(seven.target, at + 0x18n)).toMatchObject({ kind: 'guarded mutex', waiters: 1 });
    seven.bytes.put(at + 0x18n, [5]);
    expect(fastMutexAround(seven.target, at + 0x18n)).toBeNull();
  });
});

describe('messages and queues', () => {
  it('reads an ALPC message on builds that order its fields differently', () => {
    for (const build of [SEVEN, TEN, ELEVEN, TEN_X86]) {
      const at = 0x8a000000n;
      const machine = new Machine(build).put('_KALPC_MESSAGE', at, {
        PortQueue: 0x82000000n,
        WaitingThread: 0x83000000n,
        ServerThread: 0x84000000n,
        'PortMessage.MessageId': 0x3d74,
      });
      expect(readAlpcMessage(machine.target, at)).toMatchObject({
        portQueue: 0x82000000n,
        waitingThread: 0x83000000n,
        serverThread: 0x84000000n,
        messageId: 0x3d74,
        canceled: false,
      });
    }
  });

  it('does not follow a broken queue', () => {
    const port = 0xfffffa8010c9d9a0n;
    const head = port + 0x98n;
    const machine = new Machine(SEVEN).put('_ALPC_PORT', port);
    machine.pointer(head, 0xfffff8a001000000n).pointer(0xfffff8a001000000n, 0xfffff8a002000000n);
    expect(alpcQueue(machine.target, port, 'PendingQueue', 100)).toBeNull();
    machine.pointer(0xfffff8a002000000n, head);
    expect(alpcQueue(machine.target, port, 'PendingQueue', 100)).toEqual([0xfffff8a001000000n, 0xfffff8a002000000n]);
    machine.pointer(0xfffff8a002000000n, 0xfffff8a001000000n);
    expect(alpcQueue(machine.target, port, 'PendingQueue', 100)).toBeNull();
  });

  it('lists LPC messages of a port by number', () => {
    const port = 0xe1030200n;
    const message = 0xe1040000n;
    const machine = new Machine(XP)
      .put('_LPCP_PORT_OBJECT', port)
      .put('_LPCP_MESSAGE', message, { 'Request.MessageId': 7 });
    const head = new Structure(machine.target, '_LPCP_PORT_OBJECT', port).addressOf('MsgQueue.ReceiveHead') ?? va(0n);
    machine.pointer(head, message).pointer(message, head);
    expect(lpcQueue(machine.target, port, 10)).toEqual([7]);
  });

  it('adds up the counts and entries of a priority queue', () => {
    const at = 0xffffa9851c400060n;
    const machine = new Machine(ELEVEN).put('_KPRIQUEUE', at, {
      'Header.Type': 21,
      'CurrentCount[8]': 2,
      'CurrentCount[12]': 1,
      MaximumCount: 4,
    });
    for (let priority = 0; priority < 32; priority++) {
      const head = at + 0x18n + BigInt(priority * 0x10);
      machine.pointer(head, head);
    }
    const head = at + 0x18n + 0x80n;
    machine.pointer(head, 0xffffa98500001000n).pointer(0xffffa98500001000n, head);
    expect(readKernelQueue(machine.target, at, 100)).toMatchObject({
      type: '_KPRIQUEUE',
      running: 3,
      maximum: 4,
      entries: [0xffffa98500001000n],
      whole: true,
    });
    expect(readKernelQueue(machine.target, at, 0)).toMatchObject({ entries: [], whole: false });
  });
});

describe('IRP', () => {
  const at = 0xffffa9851c700010n;

  function machine(current: number, count: number): Machine {
    return new Machine(TEN)
      .put('_IRP', at, { Type: 6, StackCount: count, CurrentLocation: current, UserEvent: 0x1230n })
      .put('_IO_STACK_LOCATION', at + 0xd0n, { MajorFunction: 3, DeviceObject: 0xffffa98500000000n })
      .put('_IO_STACK_LOCATION', at + 0xd0n + 0x48n, { MajorFunction: 4 });
  }

  it('finds the location of the driver that has it', () => {
    const { target } = machine(1, 2);
    const irp = readIrp(target, at);
    expect(irp).toMatchObject({ type: 6, stackCount: 2, userEvent: 0x1230n });
    expect(irp && currentIrpLocation(target, irp)).toMatchObject({ index: 1, major: 3, device: 0xffffa98500000000n });
  });

  it('has none once it is complete, and reads no more locations than a stack has', () => {
    const done = machine(3, 2);
    const irp = readIrp(done.target, at);
    expect(irp && currentIrpLocation(done.target, irp)).toBeNull();
    const wild = machine(100, 255);
    const odd = readIrp(wild.target, at);
    expect(odd && irpLocations(wild.target, odd)).toHaveLength(64);
    expect(odd && currentIrpLocation(wild.target, odd)).toBeNull();
  });
});

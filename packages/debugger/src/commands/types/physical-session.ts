import { Memory, type MemoryReader } from '@dumpscope/core';
import { CommandError, type Session } from '../command.ts';
import { sessionMemory } from '../session/session.ts';
import { withMembers } from '../session/with-members.ts';

/** Where no dump has physical memory: the architectures' 52 bits. */
const END = 0x10_0000_0000_0000n;

/**
 * The session in which `length` bytes from `address` on are physical memory (`dt -p`). All else stays virtual, so that
 * what pointers lead to is found.
 */
export function physicalSession(session: Session, address: bigint, length: number): Session {
  const { target } = session;
  const physical = target.dump.physical;
  if (physical === null) throw new CommandError('The dump holds no physical memory');
  const end = address + BigInt(length);
  if (end > END) throw new CommandError(`${address.toString(16)} is no physical address`);
  const virtual = sessionMemory(session);
  const holds = (at: bigint): boolean => at >= address && at < end;
  const reader: MemoryReader = {
    pointerSize: virtual.pointerSize,
    readInto(at, into) {
      if (!holds(at)) return virtual.readInto(at, into);
      return physical.readInto(Number(at) as Parameters<typeof physical.readInto>[0], into);
    },
    gapAt(at) {
      if (!holds(at)) return virtual.gapAt(at);
      const byte = new Uint8Array(1);
      const read = physical.readInto(Number(at) as Parameters<typeof physical.readInto>[0], byte);
      return read === 1 ? null : { address: at, reason: { kind: 'not-in-dump' } };
    },
  };
  const memory = new Memory(reader);
  return { ...session, target: withMembers(target, { memory, memoryOf: () => memory }) };
}

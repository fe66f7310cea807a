import type { Name } from '../../target/model.ts';
import type { Session } from '../command.ts';
import { currentProcess } from './session.ts';

/** Kernel addresses need no process: the question is asked for every row of a listing. */
function isUserAddress(session: Session, address: bigint): boolean {
  return address < (session.target.pointerSize === 4 ? 0x8000_0000n : 0x8000_0000_0000n);
}

/** An address in words; user addresses by the modules of `process`, without one of the session's. */
export function nameIn(session: Session, address: bigint, process?: bigint | null): Name {
  if (!isUserAddress(session, address)) return session.target.nameOf(address);
  return session.target.nameOf(address, process ?? currentProcess(session));
}

/** `nt!Foo+0x10`, or null where no module holds the address. */
export function symbolText(session: Session, address: bigint, process?: bigint | null): string | null {
  const name = nameIn(session, address, process);
  return name.module === null ? null : name.text;
}

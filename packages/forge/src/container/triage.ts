import type { Machine } from '../kernel/machine.ts';
import type { SavedProcessor } from '../kernel/write-processors.ts';
import type { KdbgPlace } from '../kernel/write-system.ts';
import { ForgeError } from '../memory/address-space.ts';
import type { DumpInput } from './dump-input.ts';
import type { Sink } from './sink.ts';

export function writeTriageDump(
  _m: Machine,
  _input: DumpInput,
  _saved: readonly SavedProcessor[],
  _kdbg: KdbgPlace,
  _sink: Sink,
): number {
  throw new ForgeError('dump: triage writer is not there yet');
}

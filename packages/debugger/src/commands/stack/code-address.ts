import type { Frame } from '../../target/model.ts';

/** A return address belongs to the call before it: names, lines and variables are looked up one byte earlier. */
export function codeAddress(frame: Frame): bigint {
  const exact = frame.trust === 'context' || frame.trust === 'trap-frame' || frame.index === 0;
  return exact ? frame.pc : frame.pc - 1n;
}

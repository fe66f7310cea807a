import { addressText } from '@dumpscope/cpu';
import type { Target } from '../../target/model.ts';

/** Which of WinDbg's address styles: only the pointer size matters. */
export type Width = Pick<Target, 'pointerSize'>;

/** Engine commands (`k`, `u`, `d*`, `lm`): `8054b1c0`, `fffff803`be742180`. */
export function engineAddress(address: bigint, width: Width): string {
  return addressText(address, width.pointerSize);
}

/** Extension commands (`!thread`, `!process`): 8 or 16 digits, no backtick. */
export function plainAddress(address: bigint | null | undefined, width: Width): string {
  const digits = width.pointerSize * 2;
  if (address === null || address === undefined) return '?'.repeat(digits);
  return BigInt.asUintN(width.pointerSize * 8, address)
    .toString(16)
    .padStart(digits, '0');
}

/** Engine style, or question marks where the value could not be read. */
export function engineAddressOrGap(address: bigint | null | undefined, width: Width): string {
  if (address !== null && address !== undefined) return engineAddress(address, width);
  return width.pointerSize === 4 ? '????????' : '????????`????????';
}

export function hexDigits(value: bigint | number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

/**
 * A 64-bit MASM value: 8 digits on 32-bit targets while the high half only repeats bit 31 or is 0, else the 16-digit
 * form with a backtick.
 */
export function masmValueText(value: bigint, width: Width): string {
  const high = value >> 32n;
  const sign = (value >> 31n) & 1n;
  if (width.pointerSize === 4 && (high === 0n || (high === 0xffffffffn && sign === 1n))) {
    return hexDigits(value & 0xffffffffn, 8);
  }
  return addressText(value, 8);
}

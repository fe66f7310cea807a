/** WinDbg's constant: upper-case hex, `h` from ten on, a leading 0 before a letter: `9`, `0Ah`, `41h`, `0FFFFFFFFh`. */
export function masmConstant(value: bigint): string {
  if (value < 10n) return value.toString();
  const digits = value.toString(16).toUpperCase();
  return `${digits.charCodeAt(0) > 57 ? '0' : ''}${digits}h`;
}

/** An address as engine commands print it: `806e4a2c`, `fffff804`789a2060`. */
export function addressText(address: bigint, pointerSize: 4 | 8): string {
  if (pointerSize === 4) return BigInt.asUintN(32, address).toString(16).padStart(8, '0');
  const digits = BigInt.asUintN(64, address).toString(16).padStart(16, '0');
  return `${digits.slice(0, 8)}\`${digits.slice(8)}`;
}

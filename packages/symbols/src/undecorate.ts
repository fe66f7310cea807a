import { undecorateCpp } from './undecorate-parser.ts';

const I386 = 0x14c;

/**
 * A public name as WinDbg prints it: C++ names as qualified name without arguments; `_Foo` as `Foo`, on x86 also `_Foo@8`
 * and `@Foo@8`. Names that cannot be parsed stay as they are. `machine` is IMAGE_FILE_HEADER.Machine. Names of private
 * symbols are the source's own and carry no such decoration.
 */
export function undecorateSymbol(name: string, machine: number): string {
  const first = name.charCodeAt(0);
  if (first === 0x3f) return undecorateCpp(name) ?? name; // ?
  if (first === 0x5f && name.startsWith('__imp_?')) {
    const inner = undecorateCpp(name.slice(6));
    if (inner !== null) return `_imp_${inner}`;
  }
  // dbghelp takes one underscore off public names of every machine: `nt!guard_dispatch_icall`, `nt!_imp_HalInitSystem`.
  if (machine !== I386) return first === 0x5f && name.length > 1 ? name.slice(1) : name;
  if (first === 0x40) {
    // @Foo@8, fastcall
    const at = argumentBytes(name);
    return at > 1 ? name.slice(1, at) : name;
  }
  if (first === 0x5f) {
    const at = argumentBytes(name);
    const end = at > 1 ? at : name.length;
    return end > 1 ? name.slice(1, end) : name;
  }
  // Foo@@16, vectorcall
  const at = argumentBytes(name);
  if (at > 1 && name.charCodeAt(at - 1) === 0x40) return name.slice(0, at - 1);
  return name;
}

/** Position of a trailing `@digits`, or -1. */
function argumentBytes(name: string): number {
  let at = name.length - 1;
  while (at > 0) {
    const c = name.charCodeAt(at);
    if (c < 0x30 || c > 0x39) break;
    at--;
  }
  return at > 0 && at < name.length - 1 && name.charCodeAt(at) === 0x40 ? at : -1;
}

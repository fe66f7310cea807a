import * as L from './leaf-kinds.ts';
import { readNumeric } from './numeric.ts';
import { recordName } from './publics.ts';

/** What a field list holds that matters for layout and values; methods, nested types and friends are passed over. */
export type FieldItem =
  | { readonly kind: 'member'; readonly name: string; readonly offset: number; readonly type: number }
  | { readonly kind: 'base'; readonly offset: number; readonly type: number }
  /** Virtual base: where the pointer to the table of virtual bases lies. */
  | {
      readonly kind: 'virtual-base';
      readonly pointerOffset: number;
      readonly type: number;
      readonly pointerType: number;
    }
  | { readonly kind: 'vftable'; readonly offset: number; readonly type: number }
  | { readonly kind: 'static'; readonly name: string; readonly type: number }
  | { readonly kind: 'enumerate'; readonly name: string; readonly value: bigint }
  /** The list goes on in another record. */
  | { readonly kind: 'continued'; readonly type: number };

/**
 * Items of one LF_FIELDLIST, `bytes[start, end)` after its leaf word. Stops at the first item that is unknown or does
 * not fit, and says so.
 */
export function parseFieldList(
  bytes: Uint8Array,
  start: number,
  end: number,
): { readonly items: FieldItem[]; readonly complete: boolean } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const items: FieldItem[] = [];
  let at = start;
  const u16 = (p: number): number => (p + 2 <= end ? view.getUint16(p, true) : 0);
  const u32 = (p: number): number => (p + 4 <= end ? view.getUint32(p, true) : 0);
  /** Moves past a name. */
  const name = (p: number, isSt: boolean): string => {
    const text = recordName(bytes, p, end, isSt);
    if (isSt) at = p + 1 + (bytes[p] ?? 0);
    else {
      const nul = bytes.indexOf(0, p);
      at = nul < 0 || nul >= end ? end : nul + 1;
    }
    return text;
  };
  const numeric = (p: number): bigint | null => {
    const value = readNumeric(view, p, end);
    if (value.size === 0) return null;
    at = p + value.size;
    return value.value;
  };
  while (at + 2 <= end) {
    const pad = bytes[at] ?? 0;
    if (pad >= 0xf0) {
      at += Math.max(1, pad & 15);
      continue;
    }
    const leaf = u16(at);
    const wide = leaf >= 0x1000 && leaf !== L.LF_ENUMERATE_ST;
    const isSt = leaf < 0x1500;
    // 32-bit records: attributes, then the type index; 16-bit ones the other way round.
    const type = wide ? u32(at + 4) : u16(at + 2);
    const body = at + (wide ? 8 : 6);
    if (body > end + 4) return { items, complete: false };
    switch (leaf) {
      case L.LF_MEMBER:
      case L.LF_MEMBER_ST:
      case L.LF_MEMBER_16T: {
        const offset = numeric(body);
        if (offset === null) return { items, complete: false };
        items.push({ kind: 'member', name: name(at, isSt), offset: Number(offset), type });
        break;
      }
      case L.LF_BCLASS:
      case L.LF_BINTERFACE:
      case L.LF_BCLASS_16T: {
        const offset = numeric(body);
        if (offset === null) return { items, complete: false };
        items.push({ kind: 'base', offset: Number(offset), type });
        break;
      }
      case L.LF_VBCLASS:
      case L.LF_IVBCLASS:
      case L.LF_VBCLASS_16T:
      case L.LF_IVBCLASS_16T: {
        const pointerType = wide ? u32(at + 8) : u16(at + 4);
        const offset = numeric(wide ? body + 4 : body + 2);
        if (offset === null || numeric(at) === null) return { items, complete: false };
        items.push({ kind: 'virtual-base', pointerOffset: Number(offset), type, pointerType });
        break;
      }
      case L.LF_ENUMERATE:
      case L.LF_ENUMERATE_ST: {
        const value = numeric(at + 4);
        if (value === null) return { items, complete: false };
        items.push({ kind: 'enumerate', name: name(at, leaf === L.LF_ENUMERATE_ST), value });
        break;
      }
      case L.LF_STMEMBER:
      case L.LF_STMEMBER_ST:
      case L.LF_STMEMBER_16T:
        items.push({ kind: 'static', name: name(body, isSt), type });
        break;
      case L.LF_VFUNCTAB:
      case L.LF_VFUNCTAB_16T:
        items.push({ kind: 'vftable', offset: 0, type });
        at = wide ? at + 8 : at + 4;
        break;
      case L.LF_VFUNCOFF:
      case L.LF_VFUNCOFF_16T:
        items.push({ kind: 'vftable', offset: u32(wide ? at + 8 : at + 4), type });
        at = wide ? at + 12 : at + 8;
        break;
      case L.LF_INDEX:
      case L.LF_INDEX_16T:
        items.push({ kind: 'continued', type });
        at = wide ? at + 8 : at + 4;
        break;
      case L.LF_ONEMETHOD:
      case L.LF_ONEMETHOD_ST:
      case L.LF_ONEMETHOD_16T: {
        // Introducing virtual functions carry their offset in the table. The 16-bit record has attributes first, too.
        const property = (u16(at + 2) >> 2) & 7;
        const introduces = property === 4 || property === 6;
        name(body + (introduces ? 4 : 0), isSt);
        break;
      }
      case L.LF_METHOD:
      case L.LF_METHOD_ST:
      case L.LF_METHOD_16T:
      case L.LF_NESTTYPE:
      case L.LF_NESTTYPE_ST:
      case L.LF_NESTTYPEEX:
      case L.LF_NESTTYPEEX_ST:
      case L.LF_MEMBERMODIFY:
      case L.LF_MEMBERMODIFY_ST:
      case L.LF_FRIENDFCN:
      case L.LF_FRIENDFCN_ST:
        name(body, isSt);
        break;
      case L.LF_NESTTYPE_16T:
      case L.LF_FRIENDFCN_16T:
        name(at + 4, true);
        break;
      case L.LF_FRIENDCLS:
        at += 8;
        break;
      case L.LF_FRIENDCLS_16T:
        at += 4;
        break;
      default:
        return { items, complete: false };
    }
  }
  return { items, complete: true };
}

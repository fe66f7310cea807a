import { safeFileName, storeKey } from './store/store-layout.ts';

/**
 * A missing file is a returned request, not an I/O call: the front (or packages/node) answers it with bytes or says
 * that it is not to be had.
 */
export type SymbolRequest =
  | {
      readonly kind: 'pdb';
      readonly module: string;
      readonly name: string;
      readonly guid: string;
      readonly age: number;
      /** Where in the dump or which file told it, for people. */
      readonly learned?: string;
    }
  | {
      readonly kind: 'image';
      readonly module: string;
      readonly name: string;
      readonly timeDateStamp: number;
      readonly sizeOfImage: number;
      readonly learned?: string;
    };

/**
 * `ntkrnlmp.pdb/5278AFF86C341677D7D7835C85B7B8441/ntkrnlmp.pdb`, `ntoskrnl.exe/3E4EF1D41046000/ntoskrnl.exe`. A name with a
 * path, as RSDS records have it, counts by its last part.
 */
export function storePath(request: SymbolRequest): string {
  const name = safeFileName(request.name) ?? '_';
  return `${name}/${storeKey(request) ?? '_'}/${name}`;
}

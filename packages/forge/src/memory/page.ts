/** A physical page of the forged machine. Its frame number is given by `assignFrames` once every page is known. */
export interface Page {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  pfn: number;
  /** Whose memory it is: kernel-only dumps leave user pages out. Page tables belong to the kernel. */
  readonly owner: 'kernel' | 'user' | 'table';
  /** Memory that is not written to the dump. */
  absent: boolean;
  /** A device register page: no memory at all, mapped uncached. */
  device: boolean;
}

export const PAGE = 0x1000;

export function newPage(owner: Page['owner']): Page {
  const bytes = new Uint8Array(PAGE);
  return { bytes, view: new DataView(bytes.buffer), pfn: -1, owner, absent: false, device: false };
}

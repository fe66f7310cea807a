/** Where a physical page stands among the pages that a container holds. */
export interface PageIndex {
  /** Pages that the container says it holds. */
  readonly pageCount: number;
  /** Position of the page in the file, counted in pages from the first one; -1 when the container does not hold it. */
  ordinal(pfn: number): number;
}

import type { BlockCache } from '../cache/block-cache.ts';
import type { DumpHeader, DumpKind } from '../dump.ts';
import type { FilePages } from '../physical/file-pages.ts';
import type { ProblemList } from '../problems.ts';

/** What container readers work on. */
export interface ContainerInput {
  readonly cache: BlockCache;
  readonly header: DumpHeader;
  readonly pointerSize: 4 | 8;
  readonly problems: ProblemList;
}

/** The page containers (all but triage). */
export interface PageContainer {
  readonly kind: DumpKind;
  /** Null where the container holds no pages (header only, or no place of the pages known). */
  readonly pages: FilePages | null;
  /** File offset behind the last page that the container promises. */
  readonly end: number;
}

/** Physical addresses have at most 52 bits, so page numbers 40. */
export const MAX_PFN: number = 2 ** 40;

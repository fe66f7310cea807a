/** How the processor caches a page, by its PTE: device registers are mapped uncached, ordinary memory write-back. */
import type { Target } from '@dumpscope/debugger';
import { translate } from '../bugchecks/address-view.ts';

export interface PageCaching {
  /** The last entry of the walk. */
  readonly entry: bigint;
  readonly level: string;
  readonly physical: bigint;
  /** PCD is set (uncached), or only PWT or PAT (write-through, write-combining): no ordinary memory. */
  readonly kind: 'uncached' | 'write-combining or write-through' | 'cached';
}

const PWT = 1n << 3n;
const PCD = 1n << 4n;
const PAGE_SIZE = 1n << 7n;
/** PAT is bit 7 of a 4K PTE, bit 12 where the entry maps a large page (bit 7 says so there). */
const PAT_LARGE = 1n << 12n;

/** Null without page tables, where nothing is mapped, or on ARM64, whose memory attributes are an index. */
export function pageCaching(target: Target, address: bigint): PageCaching | null {
  if (target.arch === 'arm64') return null;
  const walk = translate(target, address, null);
  const last = walk?.levels.at(-1);
  if (walk == null || walk.physical === null || last?.entry == null) return null;
  const { entry } = last;
  const large = last.name !== 'PTE';
  const pat = large ? (entry & PAT_LARGE) !== 0n : (entry & PAGE_SIZE) !== 0n;
  const kind =
    (entry & PCD) !== 0n ? 'uncached' : pat || (entry & PWT) !== 0n ? 'write-combining or write-through' : 'cached';
  return { entry, level: last.name, physical: BigInt(walk.physical), kind };
}

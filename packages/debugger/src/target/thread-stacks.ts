import type { StackRange, Target } from './model.ts';
import { inStack, threadStack } from './stacks.ts';

/** Stacks of threads that no processor runs, sorted once. */
export class ThreadStacks {
  #sorted: StackRange[] | null = null;
  #busy = false;

  find(target: Pick<Target, 'arch' | 'threads'>, address: bigint): StackRange | null {
    if (this.#sorted === null) {
      if (this.#busy) return null;
      this.#busy = true;
      const ranges: StackRange[] = [];
      for (const thread of target.threads()) {
        const range = threadStack(thread, target.arch, null);
        if (range !== null) ranges.push(range);
      }
      this.#sorted = ranges.sort((a, b) => (a.base < b.base ? -1 : a.base > b.base ? 1 : 0));
      this.#busy = false;
    }
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((this.#sorted[mid]?.base ?? 0n) <= address) low = mid + 1;
      else high = mid;
    }
    const range = this.#sorted[low];
    return range !== undefined && inStack(range, address) ? range : null;
  }
}

import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address } from '../../engine/words.ts';
import { differingBit } from '../bit-flips.ts';
import { parametersOf, type Reading } from './reading.ts';
import { bugcheckRegisters, culpritOn } from './stack-culprit.ts';

/** Parameter 1 of 0x1A, bug check reference, in our words. */
const kinds: ReadonlyMap<number, string> = new Map([
  [0x1, 'the reference count of a fork clone block is corrupt'],
  [0x31, 'relocations or code of an image are corrupt'],
  [0x403, 'a page table entry and the PFN database contradict each other'],
  [0x411, 'a page table entry is corrupt'],
  [0x777, 'a system cache view that is not locked was unlocked'],
  [0x778, 'the last system cache view was used up'],
  [0x780, 'the page table entries of a system cache view are corrupt'],
  [0x781, 'the page table entries of a system cache view are corrupt'],
  [0x1000, 'a cached page was to be mapped uncached'],
  [0x1010, 'a pageable section that is not locked was unlocked'],
  [0x1233, 'a driver mapped a physical page that nobody had locked'],
  [0x1234, 'a pageable section that does not exist was to be locked'],
  [0x1235, 'an MDL with an invalid mapping was to be protected'],
  [0x1236, 'an MDL holds a page that is not locked or does not exist'],
  [0x3451, 'the page table entries of a swapped-out kernel stack are corrupt'],
  [0x3453, 'the page tables of a process that ends could not all be freed'],
  [0x4477, 'a driver wrote to an unallocated user address of the System process'],
  [0x5003, 'the free list of a working set is corrupt'],
  [0x5100, 'the bitmap of virtual addresses is corrupt'],
  [0x5200, 'a freed page was written to, or an allocation overran into it'],
  [0x8884, 'two pages that should have the same priority have not'],
  [0x8888, 'structures of the memory manager are corrupt'],
  [0x8889, 'structures of the memory manager are corrupt'],
  [0x888a, 'a page table entry or the PFN database is corrupt'],
  [0x41201, 'the entry of a virtual address range contradicts its page table entries'],
  [0x41283, 'the working set index of a page table entry is corrupt'],
  [0x41284, 'a page table entry or the working set list is corrupt'],
  [0x41286, 'an invalid pool address was freed'],
  [0x41287, 'a page fault came while a working set was held'],
  [0x41785, 'the working set list is corrupt'],
  [0x41790, 'the count of a page table page is wrong when its process ends'],
  [0x41792, 'a page table entry is corrupt'],
  [0x41793, 'a page table page holds entries that its count does not know'],
  [0x61940, 'a page directory entry is not valid where it has to be'],
  [0x61941, 'the page tables are corrupt above the entry of an address'],
  [0x61946, 'an MDL asks for write access to a page of a paging read'],
  [0x61948, 'a page of an I/O space is accounted for wrongly'],
  [0x61949, 'a page of an I/O space is accounted for nowhere'],
]);

/** Parameters to compare bit by bit: found and expected value. */
const pairs: ReadonlyMap<number, readonly [number, number]> = new Map([
  [0x403, [2, 3]],
  [0x5200, [2, 3]],
]);

/** 0x1A MEMORY_MANAGEMENT. */
export function memoryManagement(diagnosis: Diagnosis, evidence: Evidence): Reading {
  const { target } = diagnosis;
  const parameters = parametersOf(diagnosis);
  const kind = Number(parameters[0] & 0xffffffffn);
  const meaning = kinds.get(kind) ?? null;
  const story: string[] = [];
  let bit: number | null = null;
  const pair = pairs.get(kind);
  if (pair !== undefined) {
    const [found, expected] = [parameters[pair[0]] ?? 0n, parameters[pair[1]] ?? 0n];
    bit = differingBit(found, expected);
    const claim = `parameters ${pair[0] + 1} and ${pair[1] + 1}, ${found.toString(16)} and ${expected.toString(16)}, ${bit === null ? 'do not differ by a single bit' : `differ in bit ${bit} alone`}`;
    evidence.fact(claim, bit === null ? 'false' : 'true', '.bugcheck', 'bug check parameters');
    if (bit !== null) story.push(`${claim}: a memory error does that.`);
  }
  if (kind === 0x41792) {
    const entry = target.pointerSize === 8 ? parameters[2] : parameters[2] | (parameters[3] << 32n);
    bit = differingBit(entry, 0n);
    evidence.memory(
      `the page table entry ${address(target, parameters[1])} was ${entry.toString(16)} at the check`,
      'true',
      parameters[1],
      8,
    );
    const claim =
      bit === null
        ? `the entry ${entry.toString(16)} has more than one bit set`
        : `the entry ${entry.toString(16)} should be 0 and has bit ${bit} alone set`;
    evidence.fact(claim, bit === null ? 'false' : 'true', '.bugcheck', 'bug check parameter 3');
    if (bit !== null) story.push(`${claim}: a memory error does that.`);
  }
  const culprit = culpritOn(diagnosis, bugcheckRegisters(diagnosis), evidence, 'detector');
  const what = meaning ?? `kind ${kind.toString(16)}, which is not documented`;
  return {
    verdict: bit === null ? 'memory-management' : 'one-bit-error',
    confidence: bit === null ? 'strong' : 'likely',
    title: `The memory manager found damage: ${what}${bit === null ? '' : ', one bit off'}`,
    summary: [
      `Kind ${kind.toString(16)}: ${what}.`,
      ...story,
      'The process that was current only met the damage; what wrote it is not recorded.',
    ],
    blame: bit === null ? culprit.blame : [],
    cleared: [],
    wouldChange:
      bit === null
        ? ['a special pool or Driver Verifier run that catches the writer']
        : ['a memory test that passes', 'a second crash of this machine whose bad value is not one bit off'],
  };
}

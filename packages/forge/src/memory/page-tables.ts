import { type AddressSpace, ForgeError, type Mapping } from './address-space.ts';
import { newPage, PAGE, type Page } from './page.ts';
import type { PagingFormat } from './paging.ts';

interface LargeEntry {
  readonly large: Mapping;
}

type Entry = TableNode | LargeEntry | Mapping;

interface TableNode {
  readonly page: Page;
  /** Byte offset of entry 0: PAE pointer tables are 32 bytes and share a page. */
  readonly at: number;
  readonly level: number;
  readonly entries: Map<number, Entry>;
}

function isNode(entry: Entry): entry is TableNode {
  return 'entries' in entry;
}

function isLarge(entry: Entry): entry is LargeEntry {
  return 'large' in entry;
}

export interface PrototypeSlot {
  readonly mapping: Mapping;
  readonly address: bigint;
}

/** Page tables of one process: its own top level, the kernel half shared. */
export interface ProcessTables {
  readonly root: Page;
  readonly rootOffset: number;
}

/** Value of CR3/TTBR and DirectoryTableBase, once frames are assigned. */
export function directoryTableBase(tables: ProcessTables): bigint {
  return (BigInt(tables.root.pfn) << 12n) + BigInt(tables.rootOffset);
}

/**
 * Plans the page tables of a kernel space and of the processes that share it, then fills them once frames are assigned.
 * `processes` may hold the same user space only once; the first entry is the System process.
 */
export class PageTables {
  readonly format: PagingFormat;
  readonly pages: Page[] = [];
  readonly #roots: TableNode[] = [];
  readonly #nodes: { node: TableNode; user: boolean }[] = [];
  readonly #prototypes = new Map<Mapping, bigint>();
  #packed: { page: Page; next: number } | null = null;

  constructor(format: PagingFormat) {
    this.format = format;
  }

  #node(level: number, user: boolean): TableNode {
    const bits = this.format.levels[level] ?? 0;
    const size = this.format.entrySize << bits;
    let page: Page;
    let at = 0;
    if (size < PAGE) {
      // The first 32 bytes stay free, so that no pointer table begins at the start of a page: a reader that masks the
      // low 12 bits of a PAE directory table base goes wrong, as it would on a real dump.
      if (this.#packed === null || this.#packed.next + size > PAGE) {
        this.#packed = { page: newPage('table'), next: size };
        this.pages.push(this.#packed.page);
      }
      page = this.#packed.page;
      at = this.#packed.next;
      this.#packed.next += size;
    } else {
      page = newPage('table');
      this.pages.push(page);
    }
    const node: TableNode = { page, at, level, entries: new Map() };
    this.#nodes.push({ node, user });
    return node;
  }

  #indexes(vpn: number): number[] {
    const out: number[] = [];
    let rest = vpn;
    for (let level = this.format.levels.length - 1; level >= 0; level--) {
      const size = 2 ** (this.format.levels[level] ?? 0);
      out.unshift(rest % size);
      rest = Math.floor(rest / size);
    }
    return out;
  }

  #insert(root: TableNode, vpn: number, leafLevel: number, entry: Entry, user: boolean): void {
    const indexes = this.#indexes(vpn);
    let node = root;
    for (let level = 0; level < leafLevel; level++) {
      const index = indexes[level] ?? 0;
      let child = node.entries.get(index);
      if (child === undefined) {
        child = this.#node(level + 1, user);
        node.entries.set(index, child);
      }
      if (!isNode(child)) throw new ForgeError(`page ${vpn.toString(16)} lies in a large page that is mapped already`);
      node = child;
    }
    node.entries.set(indexes[leafLevel] ?? 0, entry);
  }

  #insertSpace(root: TableNode, space: AddressSpace, user: boolean): void {
    const leaf = this.format.levels.length - 1;
    const covered = new Set<number>();
    for (const large of space.large) {
      const first = space.map(large.vpn);
      for (let i = 0; i < large.pages; i++) covered.add(large.vpn + i);
      this.#insert(root, large.vpn, leaf - 1, { large: first }, user);
    }
    for (const [vpn, mapping] of space.mappings) {
      if (!covered.has(vpn)) this.#insert(root, vpn, leaf, mapping, user);
    }
  }

  /**
   * Builds the trees. `prototypes` gives the kernel addresses that hold the prototype PTEs of mappings in that state.
   * Returns the tables of each process in order.
   */
  plan(
    kernel: AddressSpace,
    users: readonly (AddressSpace | null)[],
    prototypes: readonly PrototypeSlot[],
    selfMap: number | null,
  ): ProcessTables[] {
    for (const slot of prototypes) this.#prototypes.set(slot.mapping, slot.address);
    const template = this.#node(0, false);
    this.#insertSpace(template, kernel, false);
    for (const user of users) {
      const root = this.#roots.length === 0 ? template : this.#node(0, true);
      if (root !== template) {
        for (const [index, entry] of template.entries) {
          if (index >= this.format.kernelFrom) root.entries.set(index, this.#kernelEntry(entry, selfMap));
        }
      }
      if (user !== null) this.#insertSpace(root, user, true);
      this.#roots.push(root);
    }
    if (selfMap !== null) for (const root of this.#roots) this.#addSelfMap(root, selfMap);
    return this.#roots.map((root) => ({ root: root.page, rootOffset: root.at }));
  }

  /** PAE: page directories of the kernel half are copied per process, because the self map lives in the last one. */
  #kernelEntry(entry: Entry, selfMap: number | null): Entry {
    if (selfMap === null || this.format.levels.length !== 3 || !isNode(entry)) return entry;
    const copy = this.#node(entry.level, false);
    for (const [index, child] of entry.entries) copy.entries.set(index, child);
    return copy;
  }

  #addSelfMap(root: TableNode, index: number): void {
    if (this.format.levels.length !== 3) {
      root.entries.set(index, root);
      return;
    }
    // PAE: directory 3, entries 0..3 are the four page directories themselves (PTEs at C0000000, PDEs at C0600000).
    for (let i = 0; i < 4; i++) if (!root.entries.has(i)) root.entries.set(i, this.#node(1, i < 2));
    const last = root.entries.get(3);
    if (last === undefined || !isNode(last)) return;
    for (let i = 0; i < 4; i++) {
      const directory = root.entries.get(i);
      if (directory !== undefined && isNode(directory)) last.entries.set(i, directory);
    }
  }

  #encode(entry: Entry, level: number, user: boolean): bigint {
    const format = this.format;
    if (isNode(entry)) {
      // PAE pointer entries allow only the present bit.
      if (format.levels.length === 3 && level === 0) return (BigInt(entry.page.pfn) << 12n) | 1n;
      return format.table(entry.page.pfn, user);
    }
    if (isLarge(entry)) return format.large(entry.large.page.pfn, entry.large, user);
    switch (entry.state.kind) {
      case 'valid':
        return format.leaf(entry.page.pfn, entry, user);
      case 'transition':
        return format.transition(entry.page.pfn);
      case 'prototype':
        return format.prototype(this.#prototypes.get(entry) ?? 0n);
      case 'paged-out':
        return format.pagedOut(entry.state.pageFile, entry.state.offset);
      case 'demand-zero':
        return format.demandZero();
    }
  }

  /** Writes every entry; frames must be assigned. `kernel` receives the prototype PTEs. */
  fill(kernel: AddressSpace): void {
    const size = this.format.entrySize;
    for (const [mapping, address] of this.#prototypes) {
      if (mapping.state.kind !== 'prototype') continue;
      const state = mapping.state.prototypeState;
      const value =
        state === 'valid'
          ? this.format.leaf(mapping.page.pfn, mapping, false)
          : state === 'transition'
            ? this.format.transition(mapping.page.pfn)
            : this.format.pagedOut(0, 0x77);
      kernel.writeInteger(address, size, value);
    }
    for (const { node, user } of this.#nodes) {
      for (const [index, entry] of node.entries) {
        const at = node.at + index * size;
        const isUser = node.level === 0 ? index < this.format.kernelFrom : user;
        const value = this.#encode(entry, node.level, isUser);
        if (size === 8) node.page.view.setBigUint64(at, value, true);
        else node.page.view.setUint32(at, Number(value & 0xffffffffn), true);
      }
    }
  }
}

/** Pages that hold something in memory: what `assignFrames` must place. */
export function residentPages(spaces: readonly AddressSpace[], tables: readonly Page[]): Page[] {
  const out = new Set<Page>(tables);
  for (const space of spaces) {
    for (const mapping of space.mappings.values()) {
      const state = mapping.state;
      if (state.kind === 'paged-out' || state.kind === 'demand-zero') continue;
      if (state.kind === 'prototype' && state.prototypeState === 'paged-out') continue;
      out.add(mapping.page);
    }
  }
  return [...out];
}

import { type StructType, type TypeRef, type TypeTable, typeSize } from '@dumpscope/symbols';
import { ForgeError } from '../memory/address-space.ts';

/** What the forge needs to know of one Windows build. */
export interface KernelLayout {
  readonly build: string;
  readonly types: TypeTable;
  /** RVA of one of nt's names in that build. */
  global(name: string): number | undefined;
  /** Highest RVA of those variables that the forge writes. */
  readonly highestGlobal: number;
}

export interface FieldPlace {
  readonly offset: number;
  readonly size: number;
  /** Bit position and width for bit fields. */
  readonly bits: { readonly position: number; readonly length: number } | null;
  readonly type: TypeRef;
}

const STEP = /^([A-Za-z_$][\w$]*)((?:\[[0-9]+\])*)$/;

/** Places of fields by path, over a build's type table. */
export class Layout {
  readonly kernel: KernelLayout;
  readonly types: TypeTable;
  readonly #cache = new Map<string, FieldPlace | null>();

  constructor(kernel: KernelLayout) {
    this.kernel = kernel;
    this.types = kernel.types;
  }

  size(type: string): number {
    const found = this.types.struct(type);
    if (found === undefined) throw new ForgeError(`build ${this.kernel.build} has no layout of ${type}`);
    return found.size;
  }

  has(type: string): boolean {
    return this.types.struct(type) !== undefined;
  }

  /** Undefined where the build's structure has no such field. */
  find(type: string, path: string): FieldPlace | undefined {
    const key = `${type} ${path}`;
    const cached = this.#cache.get(key);
    if (cached !== undefined) return cached ?? undefined;
    const place = this.#resolve(type, path);
    this.#cache.set(key, place ?? null);
    return place;
  }

  offset(type: string, path: string): number {
    const place = this.find(type, path);
    if (place === undefined) throw new ForgeError(`${type} of build ${this.kernel.build} has no field ${path}`);
    return place.offset;
  }

  #resolve(type: string, path: string): FieldPlace | undefined {
    let offset = 0;
    let struct: StructType | undefined = this.types.struct(type);
    let current: TypeRef = { kind: 'struct', name: type };
    for (const step of path.split('.')) {
      const match = STEP.exec(step);
      if (match === null || struct === undefined) return undefined;
      const field = struct.fields.get(match[1] ?? '');
      if (field === undefined) return undefined;
      offset += field.offset;
      current = field.type;
      for (const index of (match[2] ?? '').matchAll(/\[([0-9]+)\]/g)) {
        if (current.kind !== 'array') return undefined;
        const n = Number(index[1]);
        if (n >= current.count && current.count > 1) return undefined;
        current = current.of;
        offset += n * (typeSize(this.types, current) ?? 0);
      }
      struct = current.kind === 'struct' ? this.types.struct(current.name) : undefined;
    }
    if (current.kind === 'bitfield') {
      const size = typeSize(this.types, current.of) ?? 4;
      return { offset, size, bits: { position: current.position, length: current.length }, type: current };
    }
    const size = typeSize(this.types, current);
    return size === undefined ? undefined : { offset, size, bits: null, type: current };
  }
}

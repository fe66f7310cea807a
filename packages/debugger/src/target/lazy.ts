/** Remembers the value of a getter. */
export class Lazy<T> {
  readonly #make: () => T;
  #value: { readonly value: T } | null = null;
  #busy = false;

  constructor(make: () => T) {
    this.#make = make;
  }

  /** `during` answers calls that come back while the value is being made. */
  get(during?: T): T {
    if (this.#value !== null) return this.#value.value;
    if (this.#busy && during !== undefined) return during;
    this.#busy = true;
    try {
      this.#value = { value: this.#make() };
    } finally {
      this.#busy = false;
    }
    return this.#value.value;
  }
}

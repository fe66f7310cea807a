/** The part of the WebAssembly global that a synchronous start needs; every host has it, no lib of a pure layer declares it. */
interface WebAssemblyHost {
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
}

declare const WebAssembly: WebAssemblyHost;

/**
 * Compiles and instantiates at once. A browser allows this only in a worker when the module is larger than 4 KiB, which
 * is where the analysis runs.
 */
export function instantiateWasm(bytes: Uint8Array<ArrayBuffer>, imports: object): object {
  return new WebAssembly.Instance(new WebAssembly.Module(bytes), imports).exports;
}

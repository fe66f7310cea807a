export * from './brands.ts';
export * from './byte-source.ts';
export { BlockCache, type BlockCacheOptions, DEFAULT_CACHE_BYTES } from './cache/block-cache.ts';
export * from './dump.ts';
export { identify } from './identify.ts';
export * from './memory.ts';
export * from './memory-gap.ts';
export { type OpenOptions, openDump } from './open-dump.ts';
export { NotADumpError, type Problem } from './problems.ts';

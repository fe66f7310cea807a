export * from './brands.ts';
export * from './byte-source.ts';
export * from './dump.ts';
export * from './memory.ts';
export * from './memory-gap.ts';
export * from './problems.ts';

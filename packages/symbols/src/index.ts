export * from './layouts/builtin.ts';
export * from './pe/index.ts';
export * from './symbol-request.ts';
export * from './symbol-table.ts';
export * from './type-table.ts';
export * from './undecorate.ts';

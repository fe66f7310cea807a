export * from './symbol-request.ts';
export * from './symbol-table.ts';
export * from './type-table.ts';

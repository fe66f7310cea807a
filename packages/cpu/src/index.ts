export * from './disassembler.ts';
export * from './format/numbers.ts';
export * from './instruction.ts';

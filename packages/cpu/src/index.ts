export * from './cfg/build-graph.ts';
export * from './cfg/find-loop.ts';
export * from './cfg/flow-graph.ts';
export * from './cfg/loops.ts';
export * from './cfg/read-code.ts';
export * from './disassembler.ts';
export * from './format/numbers.ts';
export * from './instruction.ts';

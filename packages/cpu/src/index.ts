export * from './arm64/prepare-arm64.ts';
export * from './cfg/build-graph.ts';
export * from './cfg/find-loop.ts';
export * from './cfg/flow-graph.ts';
export * from './cfg/loops.ts';
export * from './cfg/read-code.ts';
export * from './disassembler.ts';
export * from './execute/program.ts';
export * from './execute/run.ts';
export * from './execute/state.ts';
export * from './format/numbers.ts';
export * from './instruction.ts';
export * from './loop/analysis.ts';
export * from './loop/analyze-loop.ts';
export {
  type Condition as LoopCondition,
  describeCondition,
  evaluateCondition,
  type Relation,
} from './loop/condition.ts';
export { describeExpression, type Expression, evaluate, type Load } from './loop/expression.ts';
export * from './loop/protocol.ts';
export * from './loop/witness.ts';

/** The loop proof of packages/cpu in the shape that the rules judge. */

import { describeGap } from '@dumpscope/core';
import {
  analyzeLoop,
  type CpuState,
  type ExitAnalysis,
  type Loop,
  type LoopAnalysis,
  type LoopAround,
  type LoopCell,
  type Protocol,
  type RunResult,
} from '@dumpscope/cpu';
import type { Frame, Registers, Target } from '@dumpscope/debugger';
import { counterArray } from './counter-array.ts';
import { capturedMemory, controlRegionOf, cpuState, programOf } from './cpu-state.ts';
import type { ExitView, LoopShape, LoopView, WaitCell } from './loop-view.ts';

/** Null where the executor does not run the architecture. */
export function viewLoop(
  target: Target,
  around: LoopAround,
  loop: Loop,
  frame: Frame,
  registers: Registers,
  prcb: bigint | null,
): LoopView | null {
  const state = cpuState(registers, prcb === null ? null : controlRegionOf(target, prcb));
  if (state === null) return null;
  const analysis = analyzeLoop(programOf(target), around.graph, loop, state, capturedMemory(target));
  const module = target.moduleAt(loop.start) ?? null;
  const name = target.nameOf(loop.header);
  return {
    start: loop.start,
    header: loop.header,
    end: loop.end,
    instructionCount: loop.instructions.length,
    instructions: loop.instructions,
    functionName: name.symbol === null ? null : name.text,
    module,
    frameIndex: frame.index,
    exits: analysis.exits.map((exit) => viewExit(target, analysis, exit)),
    shape: shapeOf(analysis.protocol),
    lockCell: lockCellOf(target, analysis.protocol),
    readerWriter:
      analysis.protocol.kind === 'ex-spin-lock'
        ? { mode: analysis.protocol.mode, waitsFor: analysis.protocol.waitsFor }
        : null,
    chain: chainOf(analysis.protocol),
    readerCounters: countersOf(target, analysis, loop, state),
    execution: viewExecution(target, analysis),
    stores: analysis.stores.length,
    awaitsOthers: loop.instructions.some(({ mnemonic, lock }) => lock || mnemonic === 'pause'),
    complete: analysis.complete,
    flags: witnessText(analysis),
  };
}

function viewExit(target: Target, analysis: LoopAnalysis, exit: ExitAnalysis): ExitView {
  const conditions = exit.alternatives.flat();
  const cells: WaitCell[] = [];
  for (const condition of conditions) {
    const found =
      condition.test === null
        ? condition.cells.map((cell) => ({ cell, mask: null }))
        : [{ cell: condition.test.cell, mask: condition.test.mask }];
    for (const { cell, mask } of found) {
      const view = viewCell(target, cell, mask);
      if (view !== null && !cells.some((known) => known.address === view.address && known.mask === view.mask))
        cells.push(view);
    }
  }
  return {
    branch: exit.exit.from,
    condition: exit.text,
    needs: needsOf(target, exit),
    cells,
    taken: exit.taken,
    invariant:
      conditions.length > 0 &&
      conditions.every(
        (condition) =>
          condition.carried.length === 0 &&
          condition.cells.every((cell) => cell.kind === 'invariant' || cell.kind === 'indirect'),
      ),
    mayBeStored: analysis.stores.some((store) => store.reaches !== 'no' && !store.atomic),
  };
}

function needsOf(target: Target, exit: ExitAnalysis): string | null {
  const only =
    exit.alternatives.length === 1 && exit.alternatives[0]?.length === 1 ? exit.alternatives[0][0] : undefined;
  const test = only?.test;
  if (test == null || test.cell.address === null || test.value !== 0n) return null;
  const bit = test.mask > 0n && (test.mask & (test.mask - 1n)) === 0n ? test.mask.toString(2).length - 1 : null;
  if (bit === null || (test.relation !== 'eq' && test.relation !== 'ne')) return null;
  return `bit ${bit} of [${test.cell.address.toString(16).padStart(target.pointerSize * 2, '0')}] ${test.relation === 'eq' ? 'clear' : 'set'}`;
}

function viewCell(target: Target, cell: LoopCell, mask: bigint | null): WaitCell | null {
  if (cell.address === null) return null;
  const gap = cell.value === null ? target.memory.gap(cell.address, cell.size) : null;
  return {
    address: cell.address,
    size: cell.size,
    value: cell.value,
    mask,
    gap: gap === null ? null : describeGap(gap),
  };
}

function shapeOf(protocol: Protocol): LoopShape {
  switch (protocol.kind) {
    case 'queued-handoff':
      return 'queued-wait';
    case 'chain-valid':
      return 'chain-valid-wait';
    case 'plain-lock':
      return 'word-wait';
    case 'ex-spin-lock':
      return 'shared-exclusive-wait';
    case 'memory-wait':
    case 'poll':
      return 'poll';
    case 'list-walk':
      return 'walk';
    case 'ring':
    case 'counter':
      return 'counter';
    case 'time-wait':
      return 'time-wait';
    case 'unclassified':
      return 'other';
  }
}

/** Only a loop that waits and takes nothing itself can be such a scan. */
function countersOf(target: Target, analysis: LoopAnalysis, loop: Loop, state: CpuState): LoopView['readerCounters'] {
  const { protocol, execution } = analysis;
  if (execution.end !== 'cycle' || analysis.stores.length > 0 || analysis.calls.length > 0) return null;
  const kinds: readonly Protocol['kind'][] = ['memory-wait', 'unclassified', 'counter'];
  return kinds.includes(protocol.kind) ? counterArray(target, loop, state) : null;
}

function chainOf(protocol: Protocol): LoopView['chain'] {
  if (protocol.kind !== 'chain-valid' || protocol.lock === null || protocol.tail === null) return null;
  return { entry: protocol.entry, lock: protocol.lock, tail: protocol.tail };
}

function lockCellOf(target: Target, protocol: Protocol): WaitCell | null {
  return protocol.kind === 'plain-lock' || protocol.kind === 'ex-spin-lock'
    ? viewCell(target, protocol.cell, null)
    : null;
}

function viewExecution(target: Target, analysis: LoopAnalysis): LoopView['execution'] {
  const assumed = analysis.assumingCalls;
  if (assumed !== null && (assumed.end === 'cycle' || assumed.end === 'exit')) {
    const seen = executionOf(target, assumed);
    return {
      ...seen,
      text: `if the calls in it return and change nothing that decides, ${seen.text}`,
      assumesCalls: true,
    };
  }
  return { ...executionOf(target, analysis.execution), assumesCalls: false };
}

function executionOf(target: Target, run: RunResult): Omit<LoopView['execution'], 'assumesCalls'> {
  switch (run.end) {
    case 'cycle': {
      const register =
        run.states[0] === undefined
          ? undefined
          : [...run.states[0].keys()].find((name) =>
              run.states.some((state) => state.get(name) !== run.states[0]?.get(name)),
            );
      const values =
        register === undefined
          ? []
          : run.states.map((state) => state.get(register)).filter((value) => value !== undefined);
      const digits = (value: bigint): string => value.toString(16).padStart(target.pointerSize * 2, '0');
      const cycle =
        values.length > 1
          ? ` (${register}: ${values.slice(0, 4).map(digits).join(' -> ')} -> ${digits(values[0] ?? 0n)})`
          : '';
      return {
        end: 'cycle',
        iterations: null,
        text: `after ${run.prefix} turns the state repeats every ${run.period === 1 ? 'turn' : `${run.period} turns`}${cycle}`,
      };
    }
    case 'exit':
      return { end: 'exit', iterations: run.iterations, text: `it leaves after ${run.iterations} more turns` };
    case 'limit':
      return { end: 'unknown', iterations: null, text: `it did not end within ${run.steps} steps` };
    case 'fault':
      return { end: 'exit', iterations: run.iterations, text: `it faults: ${run.why}` };
    case 'unknown':
      return { end: 'unknown', iterations: null, text: run.why };
  }
}

/** EFLAGS as a witness of what the processor itself saw last. */
function witnessText(analysis: LoopAnalysis): LoopView['flags'] {
  const { witness } = analysis;
  if (!witness.decides) return { agree: null, text: 'EFLAGS were set by something that decides no exit: no witness' };
  if (witness.verdict === null)
    return { agree: null, text: `EFLAGS do not tell what the last test saw: ${witness.why}` };
  const flags = (witness.captured ?? 0).toString(16).padStart(8, '0');
  return witness.verdict === 'agree'
    ? {
        agree: true,
        text: `EFLAGS ${flags} are what the last test leaves for the captured value: the processor itself saw it`,
      }
    : {
        agree: false,
        text: `EFLAGS ${flags} are not what the last test leaves for the captured value: it has changed since the processor looked`,
      };
}

import { functionEntryCommand } from './code/function-entry.ts';
import { unassembleCommand } from './code/unassemble.ts';
import { unassembleFunction } from './code/unassemble-function.ts';
import type { Command } from './command.ts';
import { analyzeCommand } from './info/analyze.ts';
import { bugcheckCommand, lastEventCommand } from './info/bugcheck.ts';
import { dumpDebugCommand, enumTagCommand } from './info/dump-debug.ts';
import { timeCommand, versionCommand } from './info/version.ts';
import { cpuinfoCommand } from './kernel/cpuinfo.ts';
import { dpcsCommand } from './kernel/dpc-queue.ts';
import { irpCommand } from './kernel/irp.ts';
import { irqlCommand } from './kernel/irql.ts';
import { locksCommand } from './kernel/locks.ts';
import { pcrCommand, prcbCommand } from './kernel/pcr.ts';
import { processCommand } from './kernel/process.ts';
import { pteCommand, vtopCommand } from './kernel/pte.ts';
import { qlocksCommand } from './kernel/qlocks.ts';
import { readyCommand } from './kernel/ready.ts';
import { runningCommand } from './kernel/running.ts';
import { stacksCommand } from './kernel/stacks.ts';
import { threadCommand } from './kernel/thread.ts';
import { CommandRegistry } from './line/registry.ts';
import { displayMemory } from './memory/display-memory.ts';
import { searchMemoryCommand } from './memory/search-memory.ts';
import { stackCommand } from './stack/stack.ts';
import { contextCommand, processContextCommand, threadContextCommand, trapCommand } from './state/context.ts';
import { machineCommand } from './state/effmach.ts';
import { evaluateCommand, evaluateCppCommand } from './state/evaluate.ts';
import { exceptionCommand } from './state/exception.ts';
import { formatsCommand } from './state/formats.ts';
import { frameCommand } from './state/frame.ts';
import { helpCommand } from './state/help.ts';
import { localsCommand } from './state/locals.ts';
import { processorsCommand } from './state/processors.ts';
import { registersCommand } from './state/registers.ts';
import {
  asmCommand,
  echoCommand,
  evaluatorCommand,
  linesCommand,
  quitCommand,
  radixCommand,
} from './state/settings.ts';
import { examineCommand } from './symbols/examine.ts';
import { listModulesCommand } from './symbols/list-modules.ts';
import { listNearCommand } from './symbols/list-near.ts';
import { imagePathCommand, reloadCommand, symbolPathCommand } from './symbols/symbol-path.ts';
import { displayTypeCommand } from './types/dt.ts';
import { modelCommand } from './types/dx.ts';

/** Every command, one a file; a new one is added here and nowhere else. */
export const allCommands: readonly Command[] = [
  helpCommand(() => allCommands),
  evaluateCommand(() => allCommands),
  evaluateCppCommand,
  formatsCommand,
  radixCommand,
  evaluatorCommand,
  echoCommand,
  quitCommand,
  asmCommand,
  linesCommand,
  machineCommand,
  processorsCommand,
  registersCommand,
  trapCommand,
  contextCommand,
  threadContextCommand,
  processContextCommand,
  frameCommand,
  localsCommand,
  exceptionCommand,
  stackCommand,
  unassembleCommand,
  unassembleFunction,
  functionEntryCommand,
  displayMemory,
  searchMemoryCommand,
  displayTypeCommand,
  modelCommand,
  examineCommand,
  listNearCommand,
  listModulesCommand,
  symbolPathCommand,
  reloadCommand,
  imagePathCommand,
  versionCommand,
  timeCommand,
  bugcheckCommand,
  lastEventCommand,
  analyzeCommand,
  dumpDebugCommand,
  enumTagCommand,
  threadCommand,
  processCommand,
  runningCommand,
  readyCommand,
  stacksCommand,
  irqlCommand,
  pcrCommand,
  prcbCommand,
  dpcsCommand,
  qlocksCommand,
  locksCommand,
  irpCommand,
  pteCommand,
  vtopCommand,
  cpuinfoCommand,
];

/** The registry that a front runs lines against. */
export function createRegistry(): CommandRegistry {
  return new CommandRegistry(allCommands);
}

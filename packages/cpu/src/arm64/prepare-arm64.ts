import { installArm64 } from '../disassembler.ts';

let ready: Promise<void> | undefined;

/**
 * Loads and starts the ARM64 disassembler; fronts await it once when a dump is ARM64, before they analyse it. Its code
 * (about 1 MB) is in a module of its own, so that nobody else loads it.
 */
export function prepareArm64(): Promise<void> {
  ready ??= import('./arm64-disassembler.ts').then(({ createArm64Disassembler }) => {
    installArm64(createArm64Disassembler());
  });
  return ready;
}

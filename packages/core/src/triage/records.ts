import { hex } from '../brands.ts';
import type { ContainerInput } from '../container/container.ts';
import type { DumpHeader } from '../dump.ts';
import { exceptionRecord, exceptionRecordSize } from '../header/fields.ts';
import { contextSize } from '../header/machine.ts';
import type { OpenTriage } from './triage.ts';

/** The triage header may keep context and exception elsewhere than the dump header. */
export function withTriageRecords(input: ContainerInput, opened: OpenTriage): DumpHeader {
  const { header, cache, pointerSize } = input;
  const { contextOffset, exceptionOffset } = opened.header;
  let result = header;
  if (contextOffset !== 0 && contextOffset !== header.contextOffset) {
    const length = contextSize(header.machineImageType, pointerSize);
    const bytes = cache.bytes(contextOffset, length);
    if (bytes.length === length) {
      result = { ...result, context: bytes, contextOffset };
    } else {
      input.problems.add(
        'triage-structure-beyond-end',
        `the context record at ${hex(contextOffset)} reaches beyond the end of the file: that of the dump header is used`,
        opened.header.at + 0xc,
      );
    }
  }
  if (exceptionOffset !== 0 && exceptionOffset !== header.exceptionOffset) {
    const bytes = cache.bytes(exceptionOffset, exceptionRecordSize(pointerSize));
    const exception = exceptionRecord(bytes, exceptionOffset, pointerSize);
    if (exception !== null) result = { ...result, exception, exceptionOffset };
  }
  return result;
}

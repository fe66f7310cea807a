import { evaluateMasm } from '../../expressions/masm.ts';
import type { Processor } from '../../target/model.ts';
import { CommandError, type Session } from '../command.ts';
import { sessionScope } from '../session/scope.ts';

/** The processor that an argument names, the current one without. */
export function processorArgument(session: Session, args: string): Processor {
  const { target } = session;
  const number = args.trim() === '' ? session.processor : Number(evaluateMasm(args, sessionScope(session)).value);
  const found = target.processors.find((p) => p.number === number);
  if (found !== undefined) return found;
  throw new CommandError(
    target.processors.length === 0
      ? `Cannot get PRCB address: ${target.processorNote ?? 'the dump holds no processor blocks'}`
      : 'Cannot get PRCB address',
  );
}

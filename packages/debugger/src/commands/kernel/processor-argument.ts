import { evaluateExpression } from '../../expressions/evaluate.ts';
import { Structure } from '../../nt/structure.ts';
import type { Processor, Target } from '../../target/model.ts';
import { CommandError, type Session } from '../command.ts';
import { sessionScope } from '../session/scope.ts';

/** The processor that an argument names, the current one without. */
export function processorArgument(session: Session, args: string): Processor {
  const { target } = session;
  const number = args.trim() === '' ? session.processor : Number(evaluateExpression(args, sessionScope(session)).value);
  const found = target.processors.find((p) => p.number === number);
  if (found !== undefined) return found;
  throw new CommandError(
    target.processors.length === 0
      ? `Cannot get PRCB address: ${target.processorNote ?? 'the dump holds no processor blocks'}`
      : 'Cannot get PRCB address',
  );
}

/** KPRCB.NextThread as it stands, 0 where nobody is chosen; null where it cannot be read. */
export function nextThreadOf(target: Target, processor: Processor): bigint | null {
  return processor.nextThread ?? new Structure(target, '_KPRCB', processor.prcb).value('NextThread') ?? null;
}

import type { StackTrace } from '@dumpscope/debugger';

/** Ends where a stack begins, or where it leaves the kernel; any other is a walk that was cut short. */
const STARTS: ReadonlySet<string> = new Set(['stack-base', 'no-return-address', 'user-mode']);

/** The walk came to where the stack begins: what is on none of its frames is not on the stack. */
export function reachedStart({ endReason }: StackTrace): boolean {
  return STARTS.has(endReason);
}

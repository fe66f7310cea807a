import type { Condition } from '@dumpscope/cpu';

/** Whether a condition holds on EFLAGS; null for those that need ECX. */
export function conditionHolds(condition: Condition, flags: number): boolean | null {
  const bit = (n: number): boolean => ((flags >>> n) & 1) === 1;
  const [cf, pf, zf, sf, of] = [bit(0), bit(2), bit(6), bit(7), bit(11)];
  switch (condition) {
    case 'o':
      return of;
    case 'no':
      return !of;
    case 'b':
      return cf;
    case 'ae':
      return !cf;
    case 'e':
      return zf;
    case 'ne':
      return !zf;
    case 'be':
      return cf || zf;
    case 'a':
      return !cf && !zf;
    case 's':
      return sf;
    case 'ns':
      return !sf;
    case 'p':
      return pf;
    case 'np':
      return !pf;
    case 'l':
      return sf !== of;
    case 'ge':
      return sf === of;
    case 'le':
      return zf || sf !== of;
    case 'g':
      return !zf && sf === of;
    default:
      return null;
  }
}

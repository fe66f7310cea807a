import type { Target } from '@dumpscope/debugger';
import type { Finding } from '@dumpscope/diagnose';

/** Patterns whose state is a fault on an address: WinDbg's buckets of those begin with AV. */
const faults: ReadonlySet<string> = new Set([
  'invalid-pointer',
  'null-pointer',
  'wild-code',
  'unloaded-module',
  'coincidental-symbolic-information',
]);

const ACCESS_VIOLATION = 0xc000_0005n;
const IN_PAGE_ERROR = 0xc000_0006n;

/**
 * FAILURE_BUCKET_ID in the forms that WinDbg prints: `AV_Ntfs!NtfsFoo`, `AV_W_(null)_drv!Foo`, `0x3B_c000001d_drv!Foo`,
 * `0x133_DPC_drv!Foo`, `0x139_3_drv!Foo`. Where the finding is no fault, its verdict takes the place of WinDbg's own
 * word: `0xE2_self-deadlock_MyDriver!RcvData`. Null without anybody to name.
 */
export function bucketOf(target: Target, finding: Finding): string | null {
  const blame = finding.blame[0];
  if (blame === undefined) return null;
  const place = placeText(blame.module, blame.function);
  const { bugcheck } = target;
  if (bugcheck === null) return `${finding.verdict ?? finding.pattern}_${place}`;
  const code = bugcheck.baseCode;
  const hex = `0x${code.toString(16).toUpperCase()}`;
  if (faults.has(finding.pattern)) {
    const status = statusOf(code, bugcheck.parameters);
    if (status !== null && status !== ACCESS_VIOLATION && status !== IN_PAGE_ERROR)
      return `${hex}_${status.toString(16)}_${place}`;
    const access = accessOf(target);
    const kind = access === 'execute' ? 'CODE_AV_' : access === 'write' ? 'W_' : '';
    return `AV_${kind}${finding.pattern === 'null-pointer' ? '(null)_' : ''}${place}`;
  }
  if (code === 0x133) return `${hex}_${bugcheck.parameters[0] === 0n ? 'DPC' : 'ISR'}_${place}`;
  if (code === 0x139) return `${hex}_${(bugcheck.parameters[0] ?? 0n).toString(16)}_${place}`;
  return `${hex}_${finding.verdict ?? finding.pattern}_${place}`;
}

/** `drv!Foo`; `drv!unknown_function` where nothing but the module is known, as WinDbg writes it. */
function placeText(module: string, name: string | null): string {
  const [, symbol] = /!(.+)$/.exec(name ?? '') ?? [];
  return symbol === undefined ? `${module}!unknown_function` : `${module}!${symbol.replace(/\+0x[0-9a-f]+$/i, '')}`;
}

/** The exception code among the parameters, where the bug check has one. */
function statusOf(code: number, parameters: readonly bigint[]): bigint | null {
  return code === 0x1e || code === 0x3b || code === 0x7e || code === 0x8e
    ? BigInt.asUintN(32, parameters[0] ?? 0n)
    : null;
}

function accessOf(target: Target): 'write' | 'execute' | null {
  const { bugcheck } = target;
  if (bugcheck === null) return null;
  const value = [0x0a, 0xd1].includes(bugcheck.baseCode)
    ? bugcheck.parameters[2]
    : bugcheck.baseCode === 0x50
      ? bugcheck.parameters[1]
      : bugcheck.baseCode === 0x1e
        ? bugcheck.parameters[2]
        : undefined;
  // Bit 0 (2 in 0x50 of Windows 10) a write, 8 or 10 an execution.
  if (value === 1n || (value === 2n && bugcheck.baseCode === 0x50)) return 'write';
  return value === 8n || value === 0x10n ? 'execute' : null;
}

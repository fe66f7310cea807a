/** Small combinators that check plain JSON and say where it is wrong: `processors[1].context.eip: …`. */
export type Check = (value: unknown, path: string, errors: string[]) => void;

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

function wrong(errors: string[], path: string, wanted: string, value: unknown): void {
  errors.push(`${path === '' ? '(top level)' : path}: ${wanted} expected, found ${describe(value)}`);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const text: Check = (value, path, errors) => {
  if (typeof value !== 'string') wrong(errors, path, 'a string', value);
};

export const flag: Check = (value, path, errors) => {
  if (typeof value !== 'boolean') wrong(errors, path, 'true or false', value);
};

export const integer: Check = (value, path, errors) => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) wrong(errors, path, 'a whole number', value);
};

/** A number (decimal) or a hex expression; its grammar is checked when it is evaluated. */
export const value: Check = (v, path, errors) => {
  if (typeof v === 'number' ? !Number.isSafeInteger(v) : typeof v !== 'string' || v.trim() === '') {
    wrong(errors, path, 'a number or a hex expression in a string', v);
  }
};

export const hexBytes: Check = (v, path, errors) => {
  const clean = typeof v === 'string' ? v.replace(/\s+/g, '') : '';
  if (typeof v !== 'string' || !/^([0-9a-fA-F]{2})*$/.test(clean)) wrong(errors, path, 'pairs of hex digits', v);
};

export const anything: Check = () => {};

export function oneOf(...allowed: readonly (string | number)[]): Check {
  return (v, path, errors) => {
    if (!allowed.includes(v as string | number)) wrong(errors, path, `one of ${allowed.join(', ')}`, v);
  };
}

export function list(item: Check, length?: number): Check {
  return (v, path, errors) => {
    if (!Array.isArray(v)) return wrong(errors, path, 'a list', v);
    if (length !== undefined && v.length !== length) errors.push(`${path}: a list of ${length} expected`);
    v.forEach((entry, index) => {
      item(entry, `${path}[${index}]`, errors);
    });
  };
}

export function record(item: Check): Check {
  return (v, path, errors) => {
    if (!isRecord(v)) return wrong(errors, path, 'an object', v);
    for (const [key, entry] of Object.entries(v)) item(entry, `${path}.${key}`, errors);
  };
}

function nearest(key: string, known: readonly string[]): string {
  const low = key.toLowerCase();
  const hit = known.find((name) => name.toLowerCase() === low || name.toLowerCase().startsWith(low.slice(0, 4)));
  return hit === undefined ? `known here: ${known.join(', ')}` : `meant: ${hit}?`;
}

/** An object with these members; names in `required` must be there, others must not be unknown. */
export function object(fields: Readonly<Record<string, Check>>, required: readonly string[] = []): Check {
  const known = Object.keys(fields);
  return (v, path, errors) => {
    if (!isRecord(v)) return wrong(errors, path, 'an object', v);
    for (const name of required) {
      if (v[name] === undefined) errors.push(`${path === '' ? '(top level)' : path}: member "${name}" is missing`);
    }
    for (const [key, entry] of Object.entries(v)) {
      const check = Object.hasOwn(fields, key) ? fields[key] : undefined;
      const where = path === '' ? key : `${path}.${key}`;
      if (check === undefined) errors.push(`${where}: unknown member (${nearest(key, known)})`);
      else check(entry, where, errors);
    }
  };
}

/** The shorthand first where the JSON is no object. */
export function either(scalar: Check, full: Check): Check {
  return (v, path, errors) => (isRecord(v) ? full(v, path, errors) : scalar(v, path, errors));
}

export { EXIT, InputError, type Io, UsageError } from './io.ts';
export { toJson } from './json.ts';
export { main } from './main.ts';
export { type OpenSession, type OpenSessionOptions, openSession } from './open-session.ts';
export type { Subcommand } from './subcommand.ts';
export { collect, declareSymbolOptions, type SymbolOptions, symbolOptions } from './subcommand.ts';
export { version } from './version.ts';

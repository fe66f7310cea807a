declare const DUMPSCOPE_VERSION: string | undefined;

/** Version of the package: put in by the bundler, `0.0.0-dev` when run from source. */
export const version: string = typeof DUMPSCOPE_VERSION === 'string' ? DUMPSCOPE_VERSION : '0.0.0-dev';

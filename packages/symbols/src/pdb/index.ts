export * from './dbi.ts';
export * from './errors.ts';
export * from './frame-data.ts';
export * from './info.ts';
export * from './msf.ts';
export * from './pdb-file.ts';
export * from './publics.ts';
